-- R<insurer>Y.mmy: the patients as they came, with what became of them.
-- origin: rules of file exchange of Moscow 1.4.5, section 4.1; the leading error of a record, A and 1 as in CTRL
-- OPLATA: 1 all services accepted, 2 none, 3 some of them. SN_POLY where the insurer knows the patient by another policy.
WITH outcome AS (
  SELECT z.pers_n, bool_and(v.refused) AS none, bool_or(v.refused) AS some FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n WHERE z.pers_n IS NOT NULL GROUP BY z.pers_n),
own AS (
  SELECT f.pers_n, min(f.rule) AS rule FROM findings f WHERE f.severity = 'reject' AND f.pers_n IS NOT NULL AND (f.refuses = 'person' OR f.z_sl_n IS NULL) GROUP BY f.pers_n),
said AS (
  SELECT p.n, CASE WHEN own.rule IS NOT NULL THEN COALESCE(r.official, 'NV') WHEN o.none THEN 'PN' END AS er,
    CASE WHEN own.rule IS NOT NULL THEN r.defect WHEN o.none THEN 'field_wrong' END AS defect, COALESCE(o.none, FALSE) AS none, COALESCE(o.some, FALSE) AS some
  FROM pers p LEFT JOIN own ON own.pers_n = p.n LEFT JOIN rule_said r ON r.rule = own.rule LEFT JOIN outcome o ON o.pers_n = p.n),
last AS (SELECT last_day(CAST(concat(value, '-01') AS DATE)) AS day FROM told WHERE part = 'period')
SELECT r.recid AS recid, r.sn_pol AS sn_pol, r.tip_p AS tip_p, r.qq AS qq, r.enp AS enp, r.fam AS fam, r.im AS im, r.ot AS ot, r.w AS w, r.dr AS dr, r.d_type AS d_type, r.sv AS sv, r.prik AS prik,
  CAST(NULL AS VARCHAR) AS sn_poly, said.er AS er_c, CASE WHEN said.er IS NOT NULL THEN 'A' END AS et, d.kod AS refreason,
  CASE WHEN said.er IS NOT NULL THEN '1' END AS et230, CASE WHEN said.er IS NOT NULL OR said.none THEN '2' WHEN said.some THEN '3' ELSE '1' END AS oplata
FROM r JOIN said ON said.n = r.n CROSS JOIN last LEFT JOIN book_defects d ON d.key = said.defect AND last.day >= d.live_from AND last.day <= d.live_to
ORDER BY r.n
