-- Request to the register of the insured (topics erz_sverka4, erz_sverka4n) about every patient of a parcel.
-- origin: rules of file exchange of Moscow 1.4.5, section 9. Those insured elsewhere who showed a single policy or a certificate are not asked about.
-- Period of care: the month; from the admission where the stay began before it; to the discharge where the patient died in hospital.
WITH head AS (
  SELECT CAST(concat(value, '-01') AS DATE) AS first, last_day(CAST(concat(value, '-01') AS DATE)) AS last FROM told WHERE part = 'period'),
care AS (
  SELECT z.pers_n, min(z.date_z_1) FILTER (z.usl_ok = '1') AS came, max(z.date_z_2) FILTER (z.usl_ok = '1' AND z.rslt IN ('105', '106')) AS died
  FROM z_sl z WHERE z.pers_n IS NOT NULL GROUP BY z.pers_n)
SELECT p.id_pac AS recid, least(head.first, COALESCE(care.came, head.first)) AS date_in, COALESCE(care.died, head.last) AS date_out,
  p.spolis AS s_pol, p.npolis AS n_pol, CASE WHEN p.nonresident THEN NULL ELSE p.smo END AS q, p.fam AS fam, p.im AS im, p.ot AS ot,
  strftime(p.dr, '%Y%m%d') AS dr, p.w AS w, CAST(NULL AS VARCHAR) AS ul, CAST(NULL AS VARCHAR) AS dom, CAST(NULL AS VARCHAR) AS kor,
  CAST(NULL AS VARCHAR) AS str, CAST(NULL AS VARCHAR) AS kv, p.tip_p AS tip_d
FROM pers p CROSS JOIN head LEFT JOIN care ON care.pers_n = p.n
WHERE NOT p.nonresident OR p.tip_p = 'С'
ORDER BY p.n
