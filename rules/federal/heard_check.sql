-- What refuses an answer beyond its accounts. A protocol of control (A) stands beside the register that we sent: it must
-- speak of that bill, of accounts that are in it, of each once and of the sum that was claimed; what it leaves out is
-- passed, and its total says so. An insurer's answer decides on every account.
WITH told AS (SELECT idcase, any_value(line) AS line, any_value(sumv) AS sumv, count(*) AS times FROM a_z_sl GROUP BY idcase),
whole AS (SELECT CAST(COALESCE(sum(sumv), 0) AS BIGINT) AS claimed,
  CAST(COALESCE(sum(CASE WHEN pay IS NULL THEN sumv ELSE sump END), 0) AS BIGINT) AS accepted FROM z_sl)
SELECT 'SET_NOT_SUBSET' AS code, concat('Z_SL/IDCASE=', t.idcase, ', line ', t.line) AS place, '1' AS expected, CAST(t.times AS VARCHAR) AS found
FROM told t WHERE t.times > 1 OR t.idcase IS NULL OR NOT EXISTS (SELECT 1 FROM z_sl z WHERE z.idcase = t.idcase)
UNION ALL
SELECT 'SET_CHANGED', concat('Z_SL/IDCASE=', z.idcase, ', line ', t.line), CAST(z.sumv AS VARCHAR), CAST(t.sumv AS VARCHAR)
FROM told t JOIN z_sl z ON z.idcase = t.idcase WHERE t.sumv IS DISTINCT FROM z.sumv
UNION ALL
SELECT 'HDR_SENDER', 'SCHET/CODE_MO', r.code_mo, a.code_mo FROM a_register a CROSS JOIN register r WHERE a.code_mo IS DISTINCT FROM r.code_mo
UNION ALL
SELECT 'HDR_PERIOD', 'SCHET/YEAR, SCHET/MONTH', concat(r.year, '-', r.month), concat(a.year, '-', a.month)
FROM a_register a CROSS JOIN register r WHERE (a.year, a.month) IS DISTINCT FROM (r.year, r.month)
UNION ALL
SELECT 'SET_CHANGED', 'SCHET/NSCHET', '', '' FROM a_register a CROSS JOIN register r WHERE a.nschet IS DISTINCT FROM r.nschet
UNION ALL
SELECT 'HDR_SUM', 'SCHET/SUMMAV', CAST(w.claimed AS VARCHAR), CAST(a.summav AS VARCHAR)
FROM a_register a CROSS JOIN whole w WHERE a.summav IS DISTINCT FROM w.claimed
UNION ALL
SELECT 'HDR_SUM', 'SCHET/SUMMAP', CAST(w.accepted AS VARCHAR), CAST(a.summap AS VARCHAR)
FROM a_register a CROSS JOIN whole w WHERE a.summap IS DISTINCT FROM w.accepted
UNION ALL
SELECT 'FLAG_SUM', concat('Z_SL/OPLATA IDCASE=', z.idcase, ', line ', z.line), '1 2 3', COALESCE(z.pay, '')
FROM z_sl z CROSS JOIN named n
WHERE CASE WHEN n.stage IN ('SM', 'ESM') THEN COALESCE(z.pay, '') NOT IN ('1', '2', '3') ELSE z.pay NOT IN ('1', '2', '3') END
