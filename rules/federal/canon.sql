-- From the elements of H, C, T, D* and L to the tables that rules, answers and the ledger know.
-- A record (ZAP) is a person with one completed case (Z_SL), which is the account; L gives the person's data by ID_PAC.
-- CHOSEN: the key of an account through all stages is CODE_MO, YEAR and MONTH, CODE of the bill and IDCASE (the last two
-- are the organisation's own: an insurer has the same from many); that of its predecessor is said by REF/FIRST_CODE,
-- FIRST_YEAR, FIRST_MONTH and FIRST_IDCASE, as one region has it.

-- Version 2.1: SLUCH is the account and its one case; a record may have several.
INSERT INTO z_sl BY NAME
SELECT n, up_n, n AS z_sl_n, line, byte_from, byte_to, digest, idcase, usl_ok, vidpom, for_pom, npr_mo, lpu, vbr,
  date_1 AS date_z_1, date_2 AS date_z_2, p_otk, rslt_d, rslt, ishod, idsp, sumv, oplata, sump, sank_it FROM sluch;
INSERT INTO sl BY NAME
SELECT n, n AS up_n, n AS z_sl_n, line, lpu_1, podr, profil, det, nhistory, p_per, date_1, date_2, ds0, ds1, code_mes2, prvs,
  vers_spec, iddokt, ed_col, tarif, sumv AS sum_m, comentsl, vid_hmp, metod_hmp, tal_d, tal_p, ds1_pr, pr_d_n FROM sluch;

-- Which account a fault of FLK_P speaks of: by IDCASE, else by N_ZAP (N_REC in 2.1), else of the whole file.
CREATE OR REPLACE TABLE flk_hit AS
SELECT z.n AS z_sl_n, p.n, p.oshib FROM flk_pr p JOIN z_sl z ON z.idcase = p.idcase
UNION ALL
SELECT z.n, p.n, p.oshib FROM flk_pr p JOIN zap ON zap.n_zap = COALESCE(p.n_zap, p.n_rec) JOIN z_sl z ON z.up_n = zap.n
WHERE p.idcase IS NULL
UNION ALL
SELECT z.n, p.n, p.oshib FROM flk_pr p CROSS JOIN z_sl z WHERE p.idcase IS NULL AND COALESCE(p.n_zap, p.n_rec) IS NULL;

-- What a protocol beside the register says of its accounts; where it leaves OPLATA out, its sums say it.
CREATE OR REPLACE TABLE told AS
SELECT z.n, any_value(COALESCE(a.oplata, CASE WHEN a.sank_it >= a.sumv THEN '2' WHEN a.sank_it > 0 THEN '3' ELSE '1' END)) AS oplata,
  any_value(COALESCE(a.sump, a.sumv - COALESCE(a.sank_it, 0))) AS sump
FROM z_sl z JOIN a_z_sl a ON a.idcase = z.idcase GROUP BY z.n
UNION ALL
SELECT z.n, CASE WHEN h.z_sl_n IS NULL THEN '1' ELSE '2' END, CASE WHEN h.z_sl_n IS NULL THEN z.sumv ELSE 0 END
FROM z_sl z CROSS JOIN (SELECT count(*) AS protocols FROM flk_register) f LEFT JOIN (SELECT DISTINCT z_sl_n FROM flk_hit) h ON h.z_sl_n = z.n
WHERE f.protocols > 0 AND NOT EXISTS (SELECT 1 FROM a_register);

CREATE OR REPLACE TABLE first_case AS
SELECT z_sl_n, arg_min(ds1, n) AS ds1, arg_min(iddokt, n) AS iddokt, arg_min(prvs, n) AS prvs, arg_min(nhistory, n) AS nhistory,
  arg_min(profil, n) AS profil, arg_min(p_cel, n) AS p_cel, arg_min(det, n) AS det, arg_min(ds_onk, n) AS ds_onk,
  arg_min(comentsl, n) AS comentsl, arg_min(c_zab, n) AS c_zab, CAST(sum(sum_m) AS BIGINT) AS sum_m, count(*) AS cases
FROM sl GROUP BY z_sl_n;

CREATE OR REPLACE TABLE pers AS
WITH one AS (SELECT id_pac, min(n) AS n FROM l_pers GROUP BY id_pac),
  told AS (SELECT up_n, string_agg(dost, '' ORDER BY n) AS dost FROM l_dost GROUP BY up_n),
  told_p AS (SELECT up_n, string_agg(dost_p, '' ORDER BY n) AS dost_p FROM l_dost_p GROUP BY up_n)
SELECT zap.n, CAST(1 AS BIGINT) AS up_n, CAST(NULL AS BIGINT) AS z_sl_n, zap.line, zap.n_zap, zap.pr_nov, zap.id_pac,
  l.fam, l.im, l.ot, l.dr, l.w, l.mr, l.snils, l.fam_p, l.im_p, l.ot_p, l.dr_p, l.w_p, l.doctype, l.docser, l.docnum,
  l.docdate, l.docorg, l.okatog, l.okatop,
  zap.vpolis, zap.spolis, COALESCE(NULLIF(zap.npolis, ''), zap.enp) AS npolis, zap.enp, zap.st_okato, zap.smo, zap.smo_ogrn,
  zap.smo_ok, zap.smo_nam, zap.novor, zap.inv, zap.mse, zap.vnov_d, zap.npolis AS npolis_own, l.tel, l.n AS l_n, told.dost, told_p.dost_p,
  zap.byte_from, zap.byte_to
FROM zap LEFT JOIN one ON one.id_pac = zap.id_pac LEFT JOIN l_pers l ON l.n = one.n LEFT JOIN told ON told.up_n = l.n
LEFT JOIN told_p ON told_p.up_n = l.n;

-- A fault of a person in L is a fault of each record that names him, in that record's own number; also one of a second
-- entry for the same person.
CREATE OR REPLACE TABLE findings AS
SELECT f.* REPLACE (p.n AS pers_n) FROM findings f JOIN l_pers l ON l.n = f.pers_n JOIN pers p ON p.id_pac = l.id_pac
WHERE f.z_sl_n IS NULL AND f.pers_n IS NOT NULL AND starts_with(f.unit, 'l_')
UNION ALL
SELECT f.* FROM findings f WHERE f.z_sl_n IS NOT NULL OR f.pers_n IS NULL OR NOT starts_with(f.unit, 'l_');

CREATE OR REPLACE TABLE z_sl AS
SELECT z.n, z.up_n, z.n AS z_sl_n, z.line, z.up_n AS pers_n,
  concat(r.code_mo, '-', r.year, lpad(CAST(r.month AS VARCHAR), 2, '0'), '-', r.code, '-', z.idcase) AS xkey,
  CASE WHEN z.first_idcase IS NOT NULL AND r.first_code IS NOT NULL THEN
    concat(r.code_mo, '-', r.first_year, lpad(CAST(r.first_month AS VARCHAR), 2, '0'), '-', r.first_code, '-', z.first_idcase) END AS x_key2,
  z.* EXCLUDE (n, up_n, z_sl_n, line) REPLACE (COALESCE(t.oplata, z.oplata) AS oplata, COALESCE(t.sump, z.sump) AS sump),
  p.pr_nov, p.smo AS payer, CASE WHEN COALESCE(t.oplata, z.oplata) <> '0' THEN COALESCE(t.oplata, z.oplata) END AS pay,
  f.ds1, f.iddokt, f.prvs, f.nhistory, f.profil, f.p_cel, f.det, f.ds_onk, f.comentsl, f.c_zab, f.sum_m, f.cases
FROM z_sl z CROSS JOIN register r LEFT JOIN pers p ON p.n = z.up_n LEFT JOIN first_case f ON f.z_sl_n = z.n
LEFT JOIN told t ON t.n = z.n;

CREATE OR REPLACE TABLE ds AS
SELECT row_number() OVER (ORDER BY kind, n) AS n, up_n, z_sl_n, line, kind AS ds_type, mkb FROM (
  SELECT sl.n, sl.z_sl_n AS up_n, sl.z_sl_n, sl.line, '1' AS kind, sl.ds1 AS mkb FROM sl WHERE sl.ds1 IS NOT NULL
  UNION ALL SELECT n, z_sl_n, z_sl_n, line, '2', ds2 FROM ds2
  UNION ALL SELECT n, z_sl_n, z_sl_n, line, '2', ds2 FROM ds2_n
  UNION ALL SELECT n, z_sl_n, z_sl_n, line, '3', ds3 FROM ds3);

CREATE OR REPLACE TABLE z_sl_sum AS
SELECT n, n AS up_n, n AS z_sl_n, line, '' AS type_acc, sumv AS suml, sump AS sum_acc FROM z_sl;

CREATE OR REPLACE TABLE register AS
SELECT r.*, r.code_mo AS ogrn_mo, '' AS kpp_mo, CAST(NULL AS VARCHAR) AS plat_ogrn, l.filename1 AS l_main,
  l.filename AS l_filename, l.version AS l_version, l.data AS l_data, CAST(NULL AS DATE) AS received,
  -- the official checks call all files of check-ups X, and the parts of FILENAME Pi Ni Pp Np YY MM
  regexp_replace(left(n.type, 1), '^D', 'X') AS type_md,
  regexp_extract(r.filename, '([MTS])([0-9]{2,6})([MTS])([0-9]{2,6})_?([0-9]{2})([0-9]{2})[0-9]*$', 1) AS pi,
  regexp_extract(r.filename, '([MTS])([0-9]{2,6})([MTS])([0-9]{2,6})_?([0-9]{2})([0-9]{2})[0-9]*$', 2) AS ni,
  regexp_extract(r.filename, '([MTS])([0-9]{2,6})([MTS])([0-9]{2,6})_?([0-9]{2})([0-9]{2})[0-9]*$', 3) AS pp,
  regexp_extract(r.filename, '([MTS])([0-9]{2,6})([MTS])([0-9]{2,6})_?([0-9]{2})([0-9]{2})[0-9]*$', 4) AS np,
  regexp_extract(r.filename, '([MTS])([0-9]{2,6})([MTS])([0-9]{2,6})_?([0-9]{2})([0-9]{2})[0-9]*$', 5) AS yy,
  regexp_extract(r.filename, '([MTS])([0-9]{2,6})([MTS])([0-9]{2,6})_?([0-9]{2})([0-9]{2})[0-9]*$', 6) AS mm
FROM register r LEFT JOIN l_register l ON l.n = 1
CROSS JOIN (SELECT any_value(list_extract(string_split(register, '-'), -1)) AS type FROM named) n;

DROP TABLE first_case;
DROP TABLE told;

-- who gave a service: since 3.2 in MR_USL_N, before that in the service itself
CREATE OR REPLACE TABLE usl AS
SELECT u.* REPLACE (COALESCE(u.code_md, m.code_md) AS code_md, COALESCE(u.prvs, m.prvs) AS prvs)
FROM usl u LEFT JOIN (
  SELECT up_n, arg_min(code_md, n) AS code_md, arg_min(prvs, n) AS prvs FROM mr_usl_n GROUP BY up_n) m ON m.up_n = u.n;
