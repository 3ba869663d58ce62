-- Every reason that a protocol of processing gives for an account; then what the issuing fund itself had withheld.
SELECT z.n AS z_sl_n, CASE WHEN s.s_sum > 0 THEN 0 ELSE 1 END AS rank, s.n, '' AS defect, s.s_osn AS kod, '' AS rule
FROM a_sank s JOIN (
  SELECT n, idcase FROM a_z_sl UNION ALL SELECT n, idcase FROM a_sluch) a ON a.n = s.up_n JOIN z_sl z ON z.idcase = a.idcase
WHERE s.s_osn IS NOT NULL
UNION ALL
SELECT s.z_sl_n, 4, s.n, '', s.s_osn, '' FROM sank s WHERE s.s_osn IS NOT NULL
