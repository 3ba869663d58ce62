-- From the elements of R, D (and of A beside them) to the tables that rules, answers and the ledger know.
-- A record (ZAP) is a person with his accounts: Z_SL since 3.1, SLUCH in 2.1, which is the account and its only case.
-- 2.1K2 (H and L of one fund's own programme) is read only; its accounts become the same tables.
-- CHOSEN: the key of an account is the issuer, the part (R or D), YEAR, MONTH, NSCHET, DSCHET and IDCASE: a corrected part repeats NSCHET
-- and DSCHET of the bill, CODE does not, and its IDCASE are those of the main part; so a D tells which account it replaces.

CREATE OR REPLACE TABLE bill AS
SELECT r.*, substr(n.register, 1, 2) AS fund, right(n.stage, 1) AS part,
  concat_ws('-', substr(n.register, 1, 2), r.year, r.month, r.nschet, r.dschet) AS key
FROM register r CROSS JOIN (SELECT any_value(register) AS register, any_value(stage) AS stage FROM named) n;

-- A and Y speak of accounts by IDCASE; both only of the bill that they name.
CREATE OR REPLACE TABLE told AS
SELECT a.idcase, any_value(a.sumv) AS sumv, any_value(a.oplata) AS oplata, any_value(a.sump) AS sump, any_value(a.line) AS line, count(*) AS times
FROM (SELECT idcase, sumv, oplata, sump, line FROM a_z_sl UNION ALL SELECT idcase, sumv, oplata, sump, line FROM a_sluch) a
CROSS JOIN a_register h JOIN bill b ON (h.year, h.month, h.nschet, h.dschet) IS NOT DISTINCT FROM (b.year, b.month, b.nschet, b.dschet)
GROUP BY a.idcase;

CREATE OR REPLACE TABLE pers AS
WITH p AS (
  SELECT zap.n, zap.line, zap.n_zap, zap.id_pac, zap.vpolis, zap.spolis, zap.npolis, zap.enp, zap.st_okato, zap.novor, zap.smo, zap.smo_ogrn,
    zap.byte_from, zap.byte_to, COALESCE(l.fam, zap.fam) AS fam, COALESCE(l.im, zap.im) AS im, COALESCE(l.ot, zap.ot) AS ot,
    COALESCE(l.dr, zap.dr) AS dr, COALESCE(l.w, zap.w) AS w, COALESCE(l.mr, zap.mr) AS mr, COALESCE(l.snils, zap.snils) AS snils,
    COALESCE(l.fam_p, zap.fam_p) AS fam_p, COALESCE(l.im_p, zap.im_p) AS im_p, COALESCE(l.ot_p, zap.ot_p) AS ot_p,
    COALESCE(l.dr_p, zap.dr_p) AS dr_p, COALESCE(l.w_p, zap.w_p) AS w_p, COALESCE(l.doctype, zap.doctype) AS doctype,
    COALESCE(l.docser, zap.docser) AS docser, COALESCE(l.docnum, zap.docnum) AS docnum, zap.docdate, zap.docorg,
    COALESCE(l.okatog, zap.okatog) AS okatog, COALESCE(l.okatop, zap.okatop) AS okatop, zap.vnov_d
  FROM zap LEFT JOIN (SELECT * FROM l_pers QUALIFY row_number() OVER (PARTITION BY id_pac ORDER BY n) = 1) l ON l.id_pac = zap.id_pac)
SELECT p.n, CAST(1 AS BIGINT) AS up_n, CAST(NULL AS BIGINT) AS z_sl_n, p.line, p.* EXCLUDE (n, line, npolis, byte_from, byte_to),
  COALESCE(NULLIF(p.npolis, ''), p.enp) AS npolis, p.npolis AS npolis_own, p.n AS l_n, d.dost, e.dost_p, p.byte_from, p.byte_to
FROM p LEFT JOIN (SELECT up_n, string_agg(dost, '' ORDER BY n) AS dost FROM dost GROUP BY up_n) d ON d.up_n = p.n
LEFT JOIN (SELECT up_n, string_agg(dost_p, '' ORDER BY n) AS dost_p FROM dost_p GROUP BY up_n) e ON e.up_n = p.n;

CREATE OR REPLACE TABLE sl AS
SELECT *
FROM sl
UNION ALL BY NAME
SELECT n, n AS up_n, n AS z_sl_n, line, profil, det, nhistory, date_1, date_2, ds0, ds1, prvs, vers_spec, ed_col, tarif, sumv AS sum_m, vid_hmp,
  metod_hmp, comentsl
FROM sluch;

CREATE OR REPLACE TABLE first_case AS
SELECT z_sl_n, arg_min(ds1, n) AS ds1, arg_min(prvs, n) AS prvs, arg_min(nhistory, n) AS nhistory, arg_min(profil, n) AS profil,
  arg_min(p_cel, n) AS p_cel, arg_min(det, n) AS det, arg_min(ds_onk, n) AS ds_onk, arg_min(comentsl, n) AS comentsl, arg_min(c_zab, n) AS c_zab,
  CAST(sum(sum_m) AS BIGINT) AS sum_m, count(*) AS cases
FROM sl GROUP BY z_sl_n;

-- held: what the issuing fund withheld from the organisation itself and so does not claim. Of an answer: SUMV and SUMP as it says them;
-- what it does not mention is accepted as claimed, what it mentions and the bill does not have is an account that nobody knows.
CREATE OR REPLACE TABLE z_sl AS
WITH account AS (
  SELECT n, up_n, line, idcase, usl_ok, vidpom, for_pom, npr_mo, npr_date, lpu, date_z_1, date_z_2, kd_z, rslt, ishod, vb_p, p_disp2, idsp, sumv,
    oplata, sump, sank_it, digest, byte_from, byte_to FROM z_sl
  UNION ALL BY NAME
  SELECT n, up_n, line, idcase, usl_ok, vidpom, for_pom, lpu, date_1 AS date_z_1, date_2 AS date_z_2, rslt, ishod, idsp, sumv, oplata, sump, sank_it,
    digest, byte_from, byte_to FROM sluch),
claim AS (
  SELECT a.*, greatest(0, COALESCE(a.sumv, 0) - COALESCE(a.sump, COALESCE(a.sumv, 0) - COALESCE(a.sank_it, 0))) AS held FROM account a),
answered AS (SELECT count(*) > 0 AS is_one FROM a_register)
SELECT c.n, c.up_n, c.n AS z_sl_n, c.line, c.up_n AS pers_n, concat(b.part, b.key, '-', c.idcase) AS xkey,
  CASE WHEN b.part = 'D' THEN concat('R', b.key, '-', c.idcase) END AS x_key2,
  CASE WHEN b.part = 'D' THEN '1' ELSE '0' END AS pr_nov,
  c.* EXCLUDE (n, up_n, line, sumv, sump),
  COALESCE(t.sumv, c.sumv) AS sumv,
  CASE WHEN w.is_one THEN COALESCE(t.sump, c.sumv - c.held) ELSE c.sump END AS sump,
  CASE WHEN w.is_one THEN CASE COALESCE(t.sump, c.sumv - c.held) WHEN c.sumv THEN '1' WHEN 0 THEN '2' ELSE '3' END END AS pay,
  f.ds1, f.prvs, f.nhistory, f.profil, f.p_cel, f.det, f.ds_onk, f.comentsl, f.c_zab, f.sum_m, f.cases
FROM claim c CROSS JOIN bill b CROSS JOIN answered w LEFT JOIN first_case f ON f.z_sl_n = c.n LEFT JOIN told t ON t.idcase = c.idcase
UNION ALL BY NAME
SELECT 1000000000 + a.n AS n, 1000000000 + a.n AS z_sl_n, a.line, concat('A', a.idcase) AS xkey, a.idcase, a.sumv, a.sump, a.oplata AS pay
FROM (SELECT n, line, idcase, sumv, sump, oplata FROM a_z_sl UNION ALL SELECT n, line, idcase, sumv, sump, oplata FROM a_sluch) a
WHERE NOT EXISTS (SELECT 1 FROM told t JOIN claim c ON c.idcase = t.idcase WHERE t.idcase = a.idcase AND t.times = 1);

CREATE OR REPLACE TABLE ds AS
SELECT row_number() OVER (ORDER BY kind, n) AS n, up_n, z_sl_n, line, kind AS ds_type, mkb FROM (
  SELECT sl.n, sl.z_sl_n AS up_n, sl.z_sl_n, sl.line, '1' AS kind, sl.ds1 AS mkb FROM sl WHERE sl.ds1 IS NOT NULL
  UNION ALL SELECT n, z_sl_n, z_sl_n, line, '2', ds2 FROM ds2
  UNION ALL SELECT n, z_sl_n, z_sl_n, line, '3', ds3 FROM ds3);

CREATE OR REPLACE TABLE z_sl_sum AS
SELECT n, n AS up_n, n AS z_sl_n, line, '' AS type_acc, sumv AS suml, sump AS sum_acc FROM z_sl;

-- In 2.1 a service names itself in words, the code of it is in VID_VME.
CREATE OR REPLACE TABLE usl AS
SELECT u.* REPLACE (COALESCE(u.code_usl, u.vid_vme) AS code_usl) FROM usl u;

-- The columns below that are NULL have their element in files of organisations only; shared rules ask for them.
CREATE OR REPLACE TABLE register AS
SELECT b.* EXCLUDE (fund, part, key, code_mo, filename, plat), b.fund AS ogrn_mo, '' AS kpp_mo, n.payer AS plat, b.part, CAST(NULL AS VARCHAR) AS code_mo,
  CAST(NULL AS VARCHAR) AS filename, CAST(NULL AS VARCHAR) AS disp, CAST(NULL AS VARCHAR) AS plat_ogrn, b.fund, b.part AS type_md,
  CAST(NULL AS DATE) AS received
FROM bill b CROSS JOIN (SELECT any_value(payer) AS payer FROM named) n;

DROP TABLE first_case;
DROP TABLE bill;
DROP TABLE told;
