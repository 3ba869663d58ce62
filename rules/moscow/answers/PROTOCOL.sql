-- Protocol of acceptance: claimed and accepted by attachment of the patient. origin: rules of file exchange of Moscow 1.4.5, form 1.2.
-- CHOSEN: a table without signatures; the per-capita amount stands in F13. Row 1 only for organisations with an attached population.
WITH head AS (SELECT max(value) FILTER (part = 'mo') AS mo FROM told),
here AS (SELECT COALESCE(max(attached), '0') = '1' AS yes FROM given_spr_lpu CROSS JOIN head WHERE code = head.mo),
one AS (
  SELECT CASE WHEN p.prik = head.mo AND here.yes THEN 1 WHEN COALESCE(p.prik, '0') NOT IN ('0', head.mo) THEN 2 ELSE 3 END AS place,
    z.pers_n, z.usl_ok, z.kind, COALESCE(z.sumv, 0) AS claimed, v.refused, COALESCE(z.sumv, 0) - COALESCE(v.withheld, 0) AS accepted
  FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n CROSS JOIN head CROSS JOIN here LEFT JOIN pers p ON p.n = z.pers_n),
listed AS (
  SELECT rows.place AS place, rows.title AS title, one.* EXCLUDE (place) FROM (VALUES (1, 'Прикреплённые к этой МО'), (2, 'Прикреплённые к другой МО'),
    (3, 'Неприкреплённые'), (4, 'Всего')) AS rows(place, title) CROSS JOIN here LEFT JOIN one ON one.place = rows.place OR rows.place = 4
  WHERE rows.place > 1 OR here.yes)
SELECT title, count(DISTINCT pers_n) AS n_patients, count(DISTINCT pers_n) FILTER (NOT refused) AS n_patients_accepted,
  count(claimed) AS n_services, count(claimed) FILTER (NOT refused) AS n_services_accepted,
  COALESCE(sum(claimed) FILTER (usl_ok <> '1'), 0) AS s_outpatient, COALESCE(sum(accepted) FILTER (usl_ok <> '1'), 0) AS s_outpatient_accepted,
  COALESCE(sum(claimed) FILTER (usl_ok = '1'), 0) AS s_hospital, COALESCE(sum(accepted) FILTER (usl_ok = '1'), 0) AS s_hospital_accepted,
  COALESCE(sum(claimed) FILTER (kind = 'high'), 0) AS s_high, COALESCE(sum(accepted) FILTER (kind = 'high'), 0) AS s_high_accepted,
  COALESCE(sum(claimed), 0) AS s_all, COALESCE(sum(accepted), 0) AS s_all_accepted
FROM listed GROUP BY place, title ORDER BY place
