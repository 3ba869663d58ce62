-- ME<insurer><organisation>.dbf: accounts paid that experts looked at. origin: rules of file exchange of Moscow 1.4.5, section 3.2, notes 1 and 2.
-- CHOSEN: the stage of an expert is told by the ground: 3.x quality of care (3), else medical and economic (2); ER_C stays empty, because the
-- experts' part of SOOKOD is not public and the ground says it all; the money is withheld in the month in which the table is made.
WITH head AS (
  SELECT replace(max(value) FILTER (part = 'period'), '-', '') AS period, replace(left(max(value) FILTER (part = 'day'), 7), '-', '') AS now, max(value) FILTER (part = 'mo') AS mo
  FROM told),
attached AS (SELECT max(attached) AS yes FROM given_spr_lpu CROSS JOIN head WHERE code = head.mo)
SELECT lpad(CAST(row_number() OVER (ORDER BY s.n) AS VARCHAR), 7, '0') AS recid, head.now AS period, head.period AS period_e, s.sn_pol AS sn_pol,
  CASE WHEN attached.yes = '1' THEN p.prik END AS lpu_prik, s.c_i AS c_i, s.ds AS ds, s.tip AS tip, s.d_u AS d_u, s.pcod AS pcod, s.prvs AS prvs, s.iotd AS iotd,
  s.cod AS cod, s.codnom AS codnom, s.k_u AS k_u, COALESCE(s.det, '0') AS det,
  CASE WHEN z.usl_ok = '1' THEN NULL WHEN attached.yes IS DISTINCT FROM '1' THEN 'ft' WHEN p.prik = head.mo THEN 'fp' WHEN COALESCE(p.prik, '0') <> '0' THEN 'up' ELSE 'ft' END AS f_type,
  s.d_type AS d_type, z.sumv AS s_opl, CAST(NULL AS VARCHAR) AS er_c, CASE WHEN left(v.defect, 2) = '3.' THEN '3' ELSE '2' END AS et,
  concat(v.defect, '.') AS osn230, CAST(NULL AS VARCHAR) AS ds_e, CAST(NULL AS VARCHAR) AS tip_e, CAST(NULL AS VARCHAR) AS cod_e, CAST(NULL AS VARCHAR) AS codnom_e,
  CAST(NULL AS VARCHAR) AS k_u_e, CAST(v.withheld AS BIGINT) AS s_opl_e, CAST(0 AS BIGINT) AS s_sank, s.lpu_id AS lpu_id, s.fil_id AS fil_id
FROM verdicts v JOIN z_sl z ON z.n = v.z_sl_n JOIN s ON s.n = z.n LEFT JOIN pers p ON p.n = z.pers_n CROSS JOIN head CROSS JOIN attached
WHERE v.withheld > 0
ORDER BY s.n
