-- From the records of P, U, N and R to the tables that rules, answers and the ledger know. One record of P is one account with
-- its patient. Keys: CODE_MO, NS and SN; services and prescriptions belong to the first account with their key.
-- CHOSEN, as the sources are silent: the key of an account is CODE_MO-NS-SN; NS is YYMMN (year, month, number in the month);
-- the first digit of VP is the code of V006; a repeat account (its kind says so) names in COMMENT the NS in which it was
-- returned, under the same SN; the period of the register is the month of DATS.

-- a request about persons (FLK) is read like a register without care
CREATE OR REPLACE TABLE asked AS
SELECT *, COALESCE(comment, comentsl) AS said FROM (SELECT * FROM p_rec UNION ALL BY NAME SELECT * FROM q_rec);

CREATE OR REPLACE TABLE first_of AS
SELECT code_mo, ns, sn, min(n) AS n FROM asked GROUP BY ALL;

CREATE OR REPLACE TABLE register AS
SELECT 1::BIGINT AS n, NULL::BIGINT AS up_n, NULL::BIGINT AS z_sl_n, 1::INTEGER AS line,
  COALESCE(year(p.dats), f.year)::BIGINT AS year, COALESCE(month(p.dats), f.month)::BIGINT AS month,
  COALESCE(p.code_mo, f.mo) AS ogrn_mo, ''::VARCHAR AS kpp_mo, p.ns AS nschet, p.dats AS dschet, p.pl_ogrn AS plat_ogrn,
  f.mo AS name_mo, f.payer AS name_payer,
  lpad(CAST(((f.year % 100) * 100 + f.month) * 10 + TRY_CAST(f.number AS INTEGER) AS VARCHAR), 5, '0') AS name_number
FROM (SELECT 1) one LEFT JOIN named f ON TRUE LEFT JOIN asked p ON p.n = 1;

CREATE OR REPLACE TABLE pers AS
SELECT p.n, 1::BIGINT AS up_n, p.n AS z_sl_n, p.line, NULL::VARCHAR AS id_pac, p.fio AS fam, p.ima AS im, p.otch AS ot, p.datr AS dr,
  CASE upper(p.pol) WHEN 'М' THEN '1' WHEN 'Ж' THEN '2' ELSE p.pol END AS w, p.snils, p.kat, p.inv,
  p.spv AS vpolis, p.sps AS spolis, p.spn AS npolis, p.pl_ogrn AS smo_ogrn, p.okato_oms AS region_oms,
  p.c_doc AS doctype, p.s_doc AS docser, p.n_doc AS docnum, p.novor, p.vnov_d,
  p.famp AS fam_p, p.imp AS im_p, p.otp AS ot_p, p.datrp AS dr_p,
  CASE upper(p.polp) WHEN 'М' THEN '1' WHEN 'Ж' THEN '2' ELSE p.polp END AS w_p,
  NULL::DATE AS polis_begin, NULL::DATE AS polis_end
FROM asked p;

CREATE OR REPLACE TABLE usl AS
SELECT u.n, f.n AS up_n, f.n AS z_sl_n, u.line, u.uid AS idserv, u.kotd AS podr, u.kpk AS profil_k, u.mkbx AS mkb, u.vp,
  substr(u.vp, 1, 1) AS usl_ok, u.kusl AS code_usl, CAST(u.kolu AS DECIMAL(12, 2)) AS kol_usl, u.kd,
  u.datn AS date_in, u.dato AS date_out, u.taru AS tarif, u.summ AS sumv_usl, NULL::BIGINT AS sump_usl,
  u.isti, u.is_out, u.out_mo, u.doc_ss AS code_md, u.spec AS prvs, u.profil, u.vmp AS vidpom
FROM u_rec u LEFT JOIN first_of f
  ON f.code_mo IS NOT DISTINCT FROM u.code_mo AND f.ns IS NOT DISTINCT FROM u.ns AND f.sn IS NOT DISTINCT FROM u.sn;

CREATE OR REPLACE TABLE z_sl AS
WITH own AS (
  SELECT z_sl_n, min(usl_ok) AS usl_ok, sum(sumv_usl)::BIGINT AS sumv, arg_min(mkb, n) AS mkb, arg_min(isti, n) AS isti
  FROM usl GROUP BY z_sl_n
), said AS (  -- all that an account says but the marks of a return
  SELECT n, md5(CAST(row(*COLUMNS(* EXCLUDE (n, up_n, z_sl_n, line, said, vs, pv, dvozvrat))) AS VARCHAR)) AS digest FROM asked
), served AS (
  SELECT l.z_sl_n, string_agg(u.digest, '' ORDER BY l.n) AS digest
  FROM (SELECT n, md5(CAST(row(*COLUMNS(* EXCLUDE (n, up_n, z_sl_n, line))) AS VARCHAR)) AS digest FROM u_rec) u
  JOIN usl l ON l.n = u.n GROUP BY l.z_sl_n
), led AS (
  SELECT f.n AS z_sl_n, string_agg(r.digest, '' ORDER BY r.n) AS digest
  FROM (SELECT n, code_mo, ns, sn, md5(CAST(row(*COLUMNS(* EXCLUDE (n, up_n, z_sl_n, line))) AS VARCHAR)) AS digest FROM r_rec) r
  JOIN first_of f ON f.code_mo = r.code_mo AND f.ns = r.ns AND f.sn = r.sn GROUP BY f.n
)
SELECT p.n, p.n AS up_n, p.n AS z_sl_n, p.line, p.n AS pers_n,
  p.code_mo || '-' || p.ns || '-' || p.sn AS xkey,
  -- a returned account keeps what it said of its predecessor
  CASE WHEN p.vs IN ('5', '9', 'd', 'h', 'l', 'p', '3', '7', 'b', 'f', 'j', 'n')
    AND regexp_full_match(trim(p.said), '[0-9]{1,5}') THEN p.code_mo || '-' || trim(p.said) || '-' || p.sn END AS x_key2,
  p.sn AS idcase, u.usl_ok, p.vmp AS vidpom,
  CASE WHEN p.vs IN ('5', '9', 'd', 'h', 'l', 'p') THEN '2'
    WHEN p.vs IN ('3', '7', 'b', 'f', 'j', 'n') AND regexp_full_match(trim(p.said), '[0-9]{1,5}') THEN '2' ELSE '1' END AS pr_nov,
  p.datn AS date_z_1, p.dato AS date_z_2, COALESCE(p.mkbx, u.mkb) AS ds1, p.doc_ss AS iddokt, p.spec AS prvs, p.profil,
  COALESCE(p.isti, u.isti) AS nhistory, p.ishob AS rslt, p.ishl AS ishod, p.mp AS for_pom, p.kso AS idsp, p.p_cel,
  p.napr_mo AS npr_mo, p.napr_n, p.napr_d AS npr_date, p.tal_n, p.tal_d, p.pr_d_n, p.q_g,
  COALESCE(u.sumv, 0)::BIGINT AS sumv, NULL::BIGINT AS sump,
  CASE WHEN p.vs IN ('3', '7', 'b', 'f', 'j', 'n') THEN '4' END AS pay,
  p.code_mo, p.ns, p.vs, p.dats, p.datps, p.pl_ogrn, p.pv, p.dvozvrat, p.said AS note,
  md5(concat(s.digest, '/', v.digest, '/', t.digest)) AS digest
FROM asked p LEFT JOIN own u ON u.z_sl_n = p.n LEFT JOIN said s ON s.n = p.n LEFT JOIN served v ON v.z_sl_n = p.n
LEFT JOIN led t ON t.z_sl_n = p.n;

CREATE OR REPLACE TABLE ds AS
SELECT row_number() OVER (ORDER BY z_sl_n, ds_type, mkb)::BIGINT AS n, z_sl_n AS up_n, z_sl_n, line, ds_type, mkb
FROM (
  SELECT n AS z_sl_n, line, '1' AS ds_type, ds1 AS mkb FROM z_sl WHERE ds1 IS NOT NULL
  UNION ALL
  SELECT n, line, '2', mkbxs FROM asked p WHERE mkbxs IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM u_rec u JOIN usl l ON l.n = u.n WHERE l.z_sl_n = p.n AND u.mkbxs = p.mkbxs)
  UNION ALL
  SELECT l.z_sl_n, min(l.line), '2', u.mkbxs FROM u_rec u JOIN usl l ON l.n = u.n
    WHERE u.mkbxs IS NOT NULL AND l.z_sl_n IS NOT NULL GROUP BY l.z_sl_n, u.mkbxs
  UNION ALL
  SELECT l.z_sl_n, min(l.line), '3', u.mkbxo FROM u_rec u JOIN usl l ON l.n = u.n
    WHERE u.mkbxo IS NOT NULL AND l.z_sl_n IS NOT NULL GROUP BY l.z_sl_n, u.mkbxo
);

CREATE OR REPLACE TABLE naz AS
SELECT r.n, f.n AS up_n, f.n AS z_sl_n, r.line, r.rid, r.nazr AS naz_r, r.spec AS naz_sp, r.vid_obs AS naz_v,
  r.profil AS naz_pmp, r.kpk AS naz_pk
FROM r_rec r LEFT JOIN first_of f
  ON f.code_mo IS NOT DISTINCT FROM r.code_mo AND f.ns IS NOT DISTINCT FROM r.ns AND f.sn IS NOT DISTINCT FROM r.sn;

-- Tables that no rule looks into: whose records they are.
CREATE OR REPLACE TABLE o_of AS SELECT t.n, f.n AS up_n, f.n AS z_sl_n, t.line FROM o_rec t LEFT JOIN first_of f
  ON f.code_mo = t.code_mo AND f.ns = t.ns AND f.sn = t.sn;
CREATE OR REPLACE TABLE i_of AS SELECT t.n, f.n AS up_n, f.n AS z_sl_n, t.line FROM i_rec t LEFT JOIN first_of f
  ON f.code_mo = t.code_mo AND f.ns = t.ns AND f.sn = t.sn;
CREATE OR REPLACE TABLE c_of AS SELECT t.n, f.n AS up_n, f.n AS z_sl_n, t.line FROM c_rec t LEFT JOIN first_of f
  ON f.code_mo = t.code_mo AND f.ns = t.ns AND f.sn = t.sn;
CREATE OR REPLACE TABLE e_of AS SELECT t.n, f.n AS up_n, f.n AS z_sl_n, t.line FROM e_rec t LEFT JOIN first_of f
  ON f.code_mo = t.code_mo AND f.ns = t.ns AND f.sn = t.sn;
CREATE OR REPLACE TABLE m_of AS SELECT t.n, f.n AS up_n, f.n AS z_sl_n, t.line FROM m_rec t LEFT JOIN first_of f
  ON f.code_mo = t.code_mo AND f.ns = t.ns AND f.sn = t.sn;

-- What reading found stands at records; an answer speaks of accounts. Lists of doctors and directions belong to no account:
-- what is amiss in them refuses nothing.
UPDATE findings SET z_sl_n = n, pers_n = n WHERE unit IN ('p_rec', 'q_rec');
UPDATE findings SET z_sl_n = usl.z_sl_n, pers_n = usl.z_sl_n FROM usl WHERE findings.unit = 'u_rec' AND usl.n = findings.n;
UPDATE findings SET z_sl_n = naz.z_sl_n, pers_n = naz.z_sl_n FROM naz WHERE findings.unit = 'r_rec' AND naz.n = findings.n;
UPDATE findings SET severity = 'warn' WHERE unit IN ('d_rec', 'n_rec', 'o_rec', 'i_rec', 'c_rec', 'e_rec', 'm_rec');
DROP TABLE first_of;
DROP TABLE asked;
