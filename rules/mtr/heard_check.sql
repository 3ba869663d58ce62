-- What refuses an answer beyond its accounts: its totals against what they come to. A speaks of what was claimed (SUMMAP of R or D).
WITH whole AS (
  SELECT CAST(COALESCE(sum(sumv - held), 0) AS BIGINT) AS claimed, CAST(COALESCE(sum(sump), 0) AS BIGINT) AS accepted FROM z_sl WHERE n < 1000000000),
taken AS (
  SELECT CAST(COALESCE(sum(s.s_sum), 0) AS BIGINT) AS sums FROM a_sank s)
SELECT 'HDR_SUM' AS code, 'SCHET/SUMMAP' AS place, CAST(w.accepted AS VARCHAR) AS expected, CAST(a.summap AS VARCHAR) AS found
FROM a_register a CROSS JOIN whole w WHERE a.summap IS DISTINCT FROM w.accepted
UNION ALL
SELECT 'HDR_SUM', 'SCHET/SUMMAV - SUMMAP', CAST(w.claimed - w.accepted AS VARCHAR),
  CAST(COALESCE(a.sank_mek, 0) + COALESCE(a.sank_mee, 0) + COALESCE(a.sank_ekmp, 0) AS VARCHAR)
FROM a_register a CROSS JOIN whole w
WHERE COALESCE(a.sank_mek, 0) + COALESCE(a.sank_mee, 0) + COALESCE(a.sank_ekmp, 0) <> w.claimed - w.accepted
