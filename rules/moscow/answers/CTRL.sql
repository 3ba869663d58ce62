-- CTRL<insurer>.dbf, CTRLIN.mmy: one row per record and error. origin: rules of file exchange of Moscow 1.4.5, sections 3.2, 6.2 and 8.3.
-- Cascade: services of a refused patient get PK, a patient whose services are all refused gets PN.
-- CHOSEN: a fault of reading is told by the code of its field (book field_errors), else as NV (details of the account); ET230 1 is medical and economic control;
-- grounds and F014 codes are those in force on the day of the account, written with the dot behind that the federal book has.
WITH head AS (
  SELECT concat(max(value) FILTER (part = 'payer'), '.', max(value) FILTER (part = 'mm'), max(value) FILTER (part = 'y')) AS tail,
    max(value) FILTER (part = 'mo') AS mo, last_day(CAST(concat(max(value) FILTER (part = 'period'), '-01') AS DATE)) AS last
  FROM told),
fault AS (
  SELECT f.unit, f.n, f.z_sl_n, f.pers_n, f.refuses = 'person' OR f.z_sl_n IS NULL AS whole, COALESCE(r.official, g.code, 'NV') AS er, e.key AS defect
  FROM findings f JOIN rule_said r ON r.rule = f.rule LEFT JOIN given_field_errors g ON g.place = concat(f.unit, '.', f.element)
  LEFT JOIN given_errors e ON e.code = COALESCE(r.official, g.code, 'NV')
  WHERE f.severity = 'reject' AND (f.z_sl_n IS NOT NULL OR f.pers_n IS NOT NULL)),
bad_person AS (SELECT DISTINCT pers_n FROM fault WHERE whole AND pers_n IS NOT NULL),
spoilt AS (SELECT DISTINCT z_sl_n FROM fault WHERE z_sl_n IS NOT NULL AND NOT whole),
emptied AS (
  SELECT z.pers_n FROM z_sl z LEFT JOIN spoilt s ON s.z_sl_n = z.n WHERE z.pers_n IS NOT NULL
  GROUP BY z.pers_n HAVING bool_and(s.z_sl_n IS NOT NULL)),
told_of AS (
  SELECT 'S' AS kind, z.n AS at, z.idcase AS recid, f.er, f.defect, z.n AS z_sl_n FROM fault f JOIN z_sl z ON z.n = f.z_sl_n WHERE NOT f.whole AND f.unit <> 'oper'
  UNION SELECT 'HO', o.n, o.recid, f.er, f.defect, f.z_sl_n FROM fault f JOIN oper o ON o.n = f.n WHERE f.unit = 'oper'
  UNION SELECT 'R', p.n, p.id_pac, f.er, f.defect, NULL FROM fault f JOIN pers p ON p.n = f.pers_n WHERE f.whole
  UNION SELECT 'S', z.n, z.idcase, 'PK', 'field_wrong', z.n FROM z_sl z JOIN bad_person b ON b.pers_n = z.pers_n
  UNION SELECT 'R', p.n, p.id_pac, 'PN', 'field_wrong', NULL FROM pers p JOIN emptied e ON e.pers_n = p.n ANTI JOIN bad_person b ON b.pers_n = p.n)
SELECT concat(t.kind, head.tail) AS file, t.recid AS recid, concat(t.er, 'A') AS errors,
  CAST(NULL AS VARCHAR) AS e_cod, CAST(NULL AS VARCHAR) AS e_ku, CAST(NULL AS VARCHAR) AS e_tip,
  d.kod AS refreason, '1' AS et230, concat(d.osn, '.') AS osn230, head.mo AS lpu_id, z.fil_id AS fil_id
FROM told_of t CROSS JOIN head LEFT JOIN z_sl z ON z.n = t.z_sl_n
LEFT JOIN book_defects d ON d.key = t.defect AND COALESCE(z.date_z_2, head.last) >= d.live_from AND COALESCE(z.date_z_2, head.last) <= d.live_to
ORDER BY t.kind, t.at, t.er
