-- Answer of the register of the insured to erz_sverka4: record by record what the search found, as a vector.
-- origin: rules of file exchange of Moscow 1.4.5, section 9: names and dates are not told to an organisation; nothing but the vector
-- when the answer is negative
SELECT p.id_pac AS recid,
  CASE WHEN v.kl = 'y' THEN i.spolis_right END AS s_pol, CASE WHEN v.kl = 'y' THEN i.npolis_right END AS n_pol,
  CASE WHEN v.kl = 'y' THEN i.payer END AS q,
  CAST(NULL AS VARCHAR) AS fam, CAST(NULL AS VARCHAR) AS im, CAST(NULL AS VARCHAR) AS ot, CAST(NULL AS VARCHAR) AS dr, CAST(NULL AS VARCHAR) AS w,
  i.vector AS ans_r, CASE WHEN v.kl = 'y' THEN e.enp END AS enp,
  CASE WHEN v.kl = 'y' THEN CASE i.vpolis_right WHEN '1' THEN 'С' WHEN '2' THEN 'В' WHEN '3' THEN 'П' END END AS tip_d
FROM ident i JOIN pers p ON p.n = i.pers_n LEFT JOIN given_osoerz v ON v.code = i.vector LEFT JOIN enp_of e ON e.n = i.insured_n
ORDER BY p.n
