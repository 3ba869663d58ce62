-- S<insurer>Y.mmy: the services as they came, with what became of them.
-- origin: rules of file exchange of Moscow 1.4.5, section 4.1; the leading error of a record, A and 1 as in CTRL
-- CHOSEN: F_TYPE (who pays from which money) is fp for those attached here, up for those attached elsewhere, ft for all others; empty after a stay.
WITH person AS (SELECT DISTINCT f.pers_n FROM findings f WHERE f.severity = 'reject' AND f.pers_n IS NOT NULL AND (f.refuses = 'person' OR f.z_sl_n IS NULL)),
said AS (
  SELECT z.n, z.usl_ok, z.date_z_2 AS day, p.prik, CASE WHEN v.refused THEN CASE WHEN person.pers_n IS NOT NULL THEN 'PK' ELSE COALESCE(r.official, 'NV') END END AS er,
    CASE WHEN v.refused THEN CASE WHEN person.pers_n IS NOT NULL THEN 'field_wrong' ELSE r.defect END END AS defect
  FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n LEFT JOIN rule_said r ON r.rule = v.rule LEFT JOIN person ON person.pers_n = z.pers_n LEFT JOIN pers p ON p.n = z.pers_n),
last AS (SELECT last_day(CAST(concat(max(value) FILTER (part = 'period'), '-01') AS DATE)) AS day, max(value) FILTER (part = 'mo') AS mo FROM told),
attached AS (SELECT max(attached) AS yes FROM given_spr_lpu CROSS JOIN last WHERE code = last.mo)
SELECT s.recid AS recid, s.sn_pol AS sn_pol, s.c_i AS c_i, s.tip AS tip, s.iotd AS iotd, s.d_u AS d_u, s.ds AS ds, s.ds_2 AS ds_2, s.ds_3 AS ds_3, s.kur AS kur, s.cod AS cod, s.codnom AS codnom, s.det AS det, s.k_u AS k_u, s.d_type AS d_type, s.novor AS novor, s.vnov_m AS vnov_m, s.tipgr AS tipgr, s.rslt AS rslt, s.pcod AS pcod, s.prvs AS prvs, s.ord AS ord, s.date_ord AS date_ord, s.lpu_ord AS lpu_ord, s.ds_0 AS ds_0, s.n_u AS n_u, s.n_vmp AS n_vmp, s.ishod AS ishod,
  COALESCE(said.prik, '0') AS prik,
  CASE WHEN said.usl_ok = '1' THEN NULL WHEN attached.yes IS DISTINCT FROM '1' THEN 'ft' WHEN said.prik = last.mo THEN 'fp' WHEN COALESCE(said.prik, '0') <> '0' THEN 'up' ELSE 'ft' END AS f_type,
  s.lpu_id AS lpu_id, s.fil_id AS fil_id, s.k2 AS k2, said.er AS er_c, CASE WHEN said.er IS NOT NULL THEN 'A' END AS et, d.kod AS refreason,
  CASE WHEN said.er IS NOT NULL THEN '1' END AS et230, CAST(NULL AS BIGINT) AS s_calc_pf
FROM s JOIN said ON said.n = s.n CROSS JOIN last CROSS JOIN attached
LEFT JOIN book_defects d ON d.key = said.defect AND COALESCE(said.day, last.day) >= d.live_from AND COALESCE(said.day, last.day) <= d.live_to
ORDER BY s.n
