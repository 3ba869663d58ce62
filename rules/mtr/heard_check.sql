-- What refuses an answer beyond its accounts: its totals against what they come to, in roubles. SUMMAV of A is not compared: some write what
-- was claimed there, some what organisations billed.
WITH whole AS (
  SELECT CAST(COALESCE(sum(sumv - held), 0) AS BIGINT) AS claimed, CAST(COALESCE(sum(sump), 0) AS BIGINT) AS accepted FROM z_sl WHERE n < 1000000000),
said AS (
  SELECT 'SCHET/SUMMAP' AS place, w.accepted AS expected, a.summap AS found FROM a_register a CROSS JOIN whole w
  UNION ALL
  SELECT 'SCHET/SANK_MEK', w.claimed - w.accepted, COALESCE(a.sank_mek, 0) + COALESCE(a.sank_mee, 0) + COALESCE(a.sank_ekmp, 0)
  FROM a_register a CROSS JOIN whole w)
SELECT 'HDR_SUM' AS code, place, CAST(CAST(expected AS DECIMAL(18, 0)) * CAST(0.01 AS DECIMAL(3, 2)) AS VARCHAR) AS expected,
  CAST(CAST(found AS DECIMAL(18, 0)) * CAST(0.01 AS DECIMAL(3, 2)) AS VARCHAR) AS found
FROM said WHERE found IS DISTINCT FROM expected
