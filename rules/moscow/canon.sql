-- From the tables of a parcel to the canonical ones. origin: rules of file exchange of Moscow 1.4.5, sections 2.1 (cost), 3.1 (files), 8 (links).
-- One row of S is one account and one service; its patient is the row of R (RIN) with the same policy; the sum comes from the tariff.
-- Sees the tables of all layouts, `named` (one row: what the file's name says) and `given_tariffs` (book of tariffs, as text).

CREATE OR REPLACE TABLE register AS
SELECT CAST(1 AS BIGINT) AS n, CAST(NULL AS BIGINT) AS up_n, CAST(NULL AS BIGINT) AS z_sl_n, CAST(1 AS INTEGER) AS line,
  named.year AS year, named.month AS month, named.mo AS ogrn_mo, '' AS kpp_mo, named.payer AS payer, CAST(NULL AS VARCHAR) AS plat_ogrn,
  concat(named.mo, '-', named.year, lpad(CAST(named.month AS VARCHAR), 2, '0'), '-', named.payer) AS nschet,
  last_day(make_date(named.year, named.month, 1)) AS dschet
FROM named;

CREATE OR REPLACE TABLE pers AS
SELECT row_number() OVER (ORDER BY place, p.n) AS n, CAST(1 AS BIGINT) AS up_n, CAST(NULL AS BIGINT) AS z_sl_n, p.line AS line,
  p.recid AS id_pac, p.fam AS fam, p.im AS im, p.ot AS ot, p.dr AS dr, p.w AS w, p.snils AS snils,
  CASE p.tip_p WHEN 'С' THEN '1' WHEN 'В' THEN '2' WHEN 'П' THEN '3' WHEN 'К' THEN '3' WHEN 'Э' THEN '3' END AS vpolis,
  NULLIF(CASE p.tip_p WHEN 'С' THEN left(p.sn_pol, 6) WHEN 'В' THEN left(p.sn_pol, 5) END, '') AS spolis,
  NULLIF(CASE p.tip_p WHEN 'С' THEN right(p.sn_pol, 10) WHEN 'В' THEN right(p.sn_pol, 9) ELSE p.sn_pol END, '') AS npolis,
  p.qq AS smo, CAST(NULL AS VARCHAR) AS smo_ogrn,
  p.sn_pol AS sn_pol, p.tip_p AS tip_p, p.enp AS enp, p.d_type AS d_type, p.sv AS sv, p.prik AS prik, p.c_t AS c_t, p.foreign_ AS nonresident,
  CAST(NULL AS BIGINT) AS byte_from, CAST(NULL AS BIGINT) AS byte_to
FROM (
  SELECT 0 AS place, n, line, recid, sn_pol, tip_p, qq, enp, fam, im, ot, w, dr, d_type, sv, prik,
    CAST(NULL AS VARCHAR) AS c_t, CAST(NULL AS VARCHAR) AS snils, FALSE AS foreign_ FROM r
  UNION ALL
  SELECT 1, n, line, recid, sn_pol, tip_p, q, enp, fam, im, ot, w, dr, d_type,
    CAST(NULL AS VARCHAR), CAST(NULL AS VARCHAR), c_t, snils, TRUE FROM rin) p;

CREATE OR REPLACE TABLE z_sl AS
WITH linked AS (SELECT sn_pol, min(n) AS n FROM pers WHERE sn_pol IS NOT NULL GROUP BY sn_pol),
tarif AS (
  SELECT code, kind, TRY_CAST(days AS INTEGER) AS days, CAST(TRY_CAST(price AS DECIMAL(12,2)) * 100 AS BIGINT) AS price,
    CAST(TRY_CAST(day_price AS DECIMAL(12,2)) * 100 AS BIGINT) AS day_price,
    COALESCE(TRY_CAST(valid_from AS DATE), DATE '0001-01-01') AS since, COALESCE(TRY_CAST(valid_to AS DATE), DATE '9999-12-31') AS until
  FROM given_tariffs),
service AS (
  SELECT s.*, linked.n AS person_n, substr(s.iotd, 2, 2) AS otd, substr(s.iotd, 4, 3) AS prof, TRY_CAST(s.cod AS BIGINT) // 1000 AS section,
    s.kur AS kur_n, s.k2 AS k2_n, COALESCE(s.d_u, last_day(make_date(named.year, named.month, 1))) AS day
  FROM s CROSS JOIN named LEFT JOIN linked ON linked.sn_pol = s.sn_pol),
priced AS (
  SELECT service.*, tarif.kind AS kind,
    -- section 2.1: a service and a day are paid by number, a standard as a whole or by days when it was broken off, a group with its coefficients
    CASE tarif.kind
      WHEN 'service' THEN tarif.price * service.k_u
      WHEN 'day' THEN tarif.price * service.k_u
      WHEN 'bedday' THEN tarif.price * service.k_u
      WHEN 'high' THEN tarif.price
      WHEN 'group' THEN CAST(round(CAST(tarif.price AS DECIMAL(18,0)) * COALESCE(service.k2_n, 1) * COALESCE(service.kur_n, 1)) AS BIGINT)
      WHEN 'standard' THEN CASE
        WHEN service.section = 183 THEN tarif.day_price * least(service.k_u, 30)
        WHEN service.section = 83 THEN CASE WHEN service.tip = '0' AND service.k_u = tarif.days THEN tarif.price ELSE tarif.day_price * service.k_u END
        WHEN service.tip IN ('0', '8') THEN tarif.price
        ELSE tarif.day_price * service.k_u END
    END AS cost
  FROM service LEFT JOIN tarif ON tarif.code = service.cod AND service.day >= tarif.since AND service.day <= tarif.until),
-- an answer of errors: rows on the service, on an operation of it, or on its patient; the table is told by its name, SPR is no S
fault AS (SELECT c.*, upper(split_part(c.file, '.', 1)) AS stem FROM ctrl c),
told AS (
  SELECT p.n AS n, max(c.e_cod) AS e_cod, max(c.e_ku) AS e_ku
  FROM priced p CROSS JOIN named JOIN fault c ON c.recid = p.recid AND c.stem = concat('S', named.payer) GROUP BY p.n
  UNION ALL
  SELECT p.n, NULL, NULL FROM priced p CROSS JOIN named JOIN pers ON pers.n = p.person_n
    JOIN fault c ON c.recid = pers.id_pac AND c.stem = concat('R', named.payer)
  UNION ALL
  SELECT min(p.n), NULL, NULL FROM priced p CROSS JOIN named JOIN ho ON ho.sn_pol = p.sn_pol AND ho.c_i = p.c_i AND ho.cod = p.cod
    JOIN fault c ON c.recid = ho.recid AND c.stem IN (concat('HO', named.payer), concat('HO', named.payer, named.mo)) GROUP BY ho.n),
heard AS (
  SELECT told.n AS n, CASE WHEN count(*) = count(told.e_cod) THEN max(tarif.price * told.e_ku) END AS instead
  FROM told LEFT JOIN priced ON priced.n = told.n
    LEFT JOIN tarif ON tarif.code = told.e_cod AND priced.day >= tarif.since AND priced.day <= tarif.until
  GROUP BY told.n),
-- experts name an account by its own data, not by its number: of several alike each row means the next one
alike AS (
  SELECT p.n AS n, concat_ws('|', p.sn_pol, p.c_i, p.cod, p.d_u, p.iotd, p.pcod, p.k_u) AS same,
    row_number() OVER (PARTITION BY concat_ws('|', p.sn_pol, p.c_i, p.cod, p.d_u, p.iotd, p.pcod, p.k_u) ORDER BY p.n) AS place,
    count(*) OVER (PARTITION BY concat_ws('|', p.sn_pol, p.c_i, p.cod, p.d_u, p.iotd, p.pcod, p.k_u)) AS many
  FROM priced p),
seen AS (
  SELECT me.s_opl_e AS s_opl_e, concat_ws('|', me.sn_pol, me.c_i, me.cod, me.d_u, me.iotd, me.pcod, me.k_u) AS same,
    row_number() OVER (PARTITION BY concat_ws('|', me.sn_pol, me.c_i, me.cod, me.d_u, me.iotd, me.pcod, me.k_u) ORDER BY me.n) AS place
  FROM me CROSS JOIN named WHERE me.period_e = concat(named.year, lpad(CAST(named.month AS VARCHAR), 2, '0'))),
expert AS (
  SELECT alike.n AS n, sum(seen.s_opl_e) AS withheld FROM seen JOIN alike ON alike.same = seen.same AND alike.place = (seen.place - 1) % alike.many + 1
  GROUP BY alike.n)
SELECT p.n AS n, p.person_n AS up_n, p.n AS z_sl_n, p.line AS line, p.person_n AS pers_n,
  concat(named.year, lpad(CAST(named.month AS VARCHAR), 2, '0'), '-', named.payer, '-', COALESCE(p.recid, concat('#', p.n))) AS xkey,
  CAST(NULL AS VARCHAR) AS x_key2, p.recid AS idcase,
  CASE WHEN p.kind IN ('standard', 'group', 'high', 'bedday') THEN '1' WHEN p.kind = 'day' OR p.otd IN ('80', '81') THEN '2' ELSE '3' END AS usl_ok,
  CASE WHEN p.kind = 'high' THEN '32' WHEN p.kind IN ('standard', 'group', 'bedday') THEN '31' ELSE '1' END AS vidpom,
  '0' AS pr_nov,
  -- the day of admission and the day of discharge count as one day of stay
  CASE WHEN p.kind IN ('standard', 'group', 'high', 'bedday') THEN p.d_u - CAST(greatest(COALESCE(p.k_u, 0), 0) AS INTEGER)
    WHEN p.kind = 'day' THEN p.d_u - CAST(greatest(COALESCE(p.k_u, 1) - 1, 0) AS INTEGER) ELSE p.d_u END AS date_z_1,
  p.d_u AS date_z_2, p.ds AS ds1, p.pcod AS iddokt, p.c_i AS nhistory, p.rslt AS rslt, p.ishod AS ishod,
  p.cost AS sumv,
  CAST(CASE WHEN named.stage IN ('CTRL', 'CTRLIN') THEN CASE WHEN heard.n IS NULL THEN p.cost ELSE COALESCE(heard.instead, 0) END
    WHEN named.stage = 'ME' THEN CASE WHEN expert.withheld < 0 THEN -expert.withheld ELSE p.cost - expert.withheld END END AS BIGINT) AS sump,
  CASE WHEN named.stage IN ('CTRL', 'CTRLIN') THEN CASE WHEN heard.n IS NULL THEN '1' WHEN heard.instead IS NULL THEN '2' ELSE '3' END
    -- a negative sum gives back what was refused before: the sum of the account as restored
    WHEN named.stage = 'ME' AND expert.n IS NOT NULL THEN
      CASE WHEN expert.withheld >= p.cost THEN '2' WHEN expert.withheld > 0 OR -expert.withheld BETWEEN 1 AND p.cost - 1 THEN '3' ELSE '1' END END AS pay,
  md5(concat_ws('|', p.recid, p.sn_pol, p.c_i, p.tip, p.iotd, p.d_u, p.ds, p.ds_2, p.ds_3, p.kur, p.cod, p.codnom, p.k_u, p.d_type, p.rslt,
    p.pcod, p.prvs, p.ord, p.date_ord, p.lpu_ord, p.ds_0, p.n_u, p.n_vmp, p.ishod, p.lpu_id, p.fil_id, p.k2)) AS digest,
  CAST(NULL AS BIGINT) AS byte_from, CAST(NULL AS BIGINT) AS byte_to,
  p.sn_pol AS sn_pol, p.kind AS kind, p.section AS section, p.tip AS tip, p.iotd AS iotd, p.otd AS otd, p.prof AS prof,
  p.ds_2 AS ds_2, p.ds_3 AS ds_3, p.ds_0 AS ds_0, p.kur_n AS kur, p.cod AS cod, p.codnom AS codnom, p.det AS det, p.k_u AS k_u,
  p.d_type AS d_type, p.novor AS novor, p.vnov_m AS vnov_m, p.tipgr AS tipgr, p.prvs AS prvs, p.ord AS ord, p.date_ord AS date_ord,
  p.lpu_ord AS lpu_ord, p.n_u AS n_u, p.n_vmp AS n_vmp, p.lpu_id AS lpu_id, p.fil_id AS fil_id, p.k2_n AS k2, p.date_tap AS date_tap
FROM priced p CROSS JOIN named LEFT JOIN heard ON heard.n = p.n LEFT JOIN expert ON expert.n = p.n
-- a table of experts tells of the accounts that they saw, and of no other
WHERE named.stage <> 'ME' OR expert.n IS NOT NULL;

CREATE OR REPLACE TABLE oper AS
SELECT ho.n AS n, min(z_sl.n) AS up_n, min(z_sl.n) AS z_sl_n, ho.line AS line, ho.recid AS recid, ho.codho AS codho, ho.k_ho AS k_ho
FROM ho LEFT JOIN z_sl ON z_sl.sn_pol = ho.sn_pol AND z_sl.nhistory = ho.c_i AND z_sl.cod = ho.cod
GROUP BY ho.n, ho.line, ho.recid, ho.codho, ho.k_ho;

-- a row of an answer that means nothing we sent must not be lost: it stands as an account that nobody has
INSERT INTO z_sl BY NAME
SELECT 1000000000 + c.n AS n, c.line AS line, concat('?', c.file, '-', c.recid) AS xkey, c.recid AS idcase, '0' AS pr_nov, 0 AS sumv, 0 AS sump, '2' AS pay
FROM ctrl c CROSS JOIN named
LEFT JOIN (SELECT DISTINCT idcase FROM z_sl) s ON s.idcase = c.recid AND upper(split_part(c.file, '.', 1)) = concat('S', named.payer)
LEFT JOIN (SELECT DISTINCT id_pac FROM pers) r ON r.id_pac = c.recid AND upper(split_part(c.file, '.', 1)) = concat('R', named.payer)
LEFT JOIN (SELECT DISTINCT recid FROM oper WHERE z_sl_n IS NOT NULL) o ON o.recid = c.recid
  AND upper(split_part(c.file, '.', 1)) IN (concat('HO', named.payer), concat('HO', named.payer, named.mo))
WHERE named.stage IN ('CTRL', 'CTRLIN') AND ((s.idcase IS NULL AND r.id_pac IS NULL AND o.recid IS NULL) OR c.lpu_id IS DISTINCT FROM named.mo)
UNION ALL BY NAME
SELECT 2000000000 + me.n AS n, me.line AS line, concat('?ME-', me.recid) AS xkey, me.recid AS idcase, '0' AS pr_nov, 0 AS sumv, 0 AS sump, '2' AS pay
FROM me CROSS JOIN named
LEFT JOIN (SELECT DISTINCT sn_pol, nhistory, cod, date_z_2, iotd, iddokt, k_u FROM z_sl) z ON z.sn_pol = me.sn_pol AND z.nhistory = me.c_i AND z.cod = me.cod
  AND z.date_z_2 = me.d_u AND z.iotd = me.iotd AND z.iddokt = me.pcod AND z.k_u = me.k_u
WHERE named.stage = 'ME' AND (z.sn_pol IS NULL OR me.lpu_id IS DISTINCT FROM named.mo
  OR me.period_e IS DISTINCT FROM concat(named.year, lpad(CAST(named.month AS VARCHAR), 2, '0')));

CREATE OR REPLACE TABLE usl AS
SELECT n, n AS up_n, n AS z_sl_n, line, cod AS code_usl, CAST(k_u AS DECIMAL(12,2)) AS kol_usl, ltrim(prof, '0') AS profil, det, prvs,
  iddokt AS code_md, date_z_1 AS date_in, date_z_2 AS date_out, sumv AS sumv_usl, sump AS sump_usl
FROM z_sl;

CREATE OR REPLACE TABLE ds AS
SELECT row_number() OVER (ORDER BY z_sl_n, ds_type) AS n, z_sl_n AS up_n, z_sl_n, line, ds_type, mkb FROM (
  SELECT n AS z_sl_n, line, '1' AS ds_type, ds1 AS mkb FROM z_sl WHERE ds1 IS NOT NULL
  UNION ALL SELECT n, line, '2', ds_2 FROM z_sl WHERE ds_2 IS NOT NULL
  UNION ALL SELECT n, line, '3', ds_3 FROM z_sl WHERE ds_3 IS NOT NULL);

-- what reading found: whose account or patient it spoils; faults of the lists beside (departments, staff, versions) are told, but refuse nothing
UPDATE findings SET unit = 'z_sl', z_sl_n = z_sl.n, pers_n = z_sl.pers_n FROM z_sl WHERE findings.unit = 's' AND z_sl.n = findings.n;
UPDATE findings SET unit = 'pers', n = findings.n, pers_n = findings.n, refuses = 'person' WHERE findings.unit IN ('r', 'rin');
UPDATE findings SET unit = 'oper', z_sl_n = oper.z_sl_n FROM oper WHERE findings.unit = 'ho' AND oper.n = findings.n;
-- without its number a record cannot be answered: the parcel goes back as a whole
UPDATE findings SET refuses = 'register', z_sl_n = NULL, pers_n = NULL WHERE element = 'RECID' AND unit IN ('z_sl', 'pers', 'oper');
UPDATE findings SET severity = 'warn' WHERE unit IN ('d', 'nv', 'h', 'spr') OR (unit = 'oper' AND z_sl_n IS NULL AND refuses <> 'register');
