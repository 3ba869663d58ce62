-- What the register of the insured answered, record by record. origin: rules of file exchange of Moscow 1.4.5, section 9; meaning of vectors in books/osoerz.csv.
-- A positive vector names the payer; without one nobody is named, whatever stands in the other fields.
WITH answer AS (
  SELECT n, recid, ans_r, q, s_pol, n_pol, tip_d, enp, CAST(NULL AS VARCHAR) AS attached FROM erz_a
  UNION ALL SELECT n, recid, ans_r, q, s_pol, n_pol, tip_d, enp, lpu_pr FROM erz_an)
SELECT a.recid AS recid, a.ans_r AS vector, COALESCE(v.kl = 'y', FALSE) AS positive, COALESCE(v.name, '') AS meaning,
  CASE WHEN v.kl = 'y' THEN COALESCE(a.q, '') ELSE '' END AS payer, CASE WHEN v.kl = 'y' THEN concat_ws(' ', a.s_pol, a.n_pol) ELSE '' END AS policy,
  CASE WHEN v.kl = 'y' THEN COALESCE(a.tip_d, '') ELSE '' END AS kind, CASE WHEN v.kl = 'y' THEN COALESCE(a.enp, '') ELSE '' END AS enp,
  COALESCE(a.attached, '') AS attached, v.code IS NOT NULL AS known
FROM answer a LEFT JOIN given_osoerz v ON v.code = a.ans_r
ORDER BY a.n
