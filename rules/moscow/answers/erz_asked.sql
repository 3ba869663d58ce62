-- A request to the register of the insured as a register: every record is a person and an account of its own.
-- origin: rules of file exchange of Moscow 1.4.5, section 9, structure of the request. CHOSEN: without a kind of document
-- a number of sixteen digits is a single policy, one with a series an old policy, anything else a certificate.
CREATE OR REPLACE TABLE register AS
SELECT CAST(1 AS BIGINT) AS n, year(max(date_out)) AS year, month(max(date_out)) AS month FROM erz_q;

CREATE OR REPLACE TABLE pers AS
SELECT n, recid AS id_pac, fam, im, ot, TRY_CAST(try_strptime(dr, '%Y%m%d') AS DATE) AS dr, w, CAST(NULL AS VARCHAR) AS snils,
  CASE WHEN tip_d = 'С' THEN '1' WHEN tip_d = 'В' THEN '2' WHEN tip_d IN ('П', 'К', 'Э') THEN '3' WHEN n_pol IS NULL THEN NULL
    WHEN length(n_pol) = 16 THEN '3' WHEN s_pol IS NOT NULL THEN '1' ELSE '2' END AS vpolis,
  CASE WHEN COALESCE(tip_d, '') NOT IN ('В', 'П', 'К', 'Э') THEN s_pol END AS spolis, n_pol AS npolis, q AS smo
FROM erz_q;

CREATE OR REPLACE TABLE z_sl AS
SELECT n, n AS pers_n, recid AS idcase, date_in AS date_z_1, date_out AS date_z_2 FROM erz_q;
