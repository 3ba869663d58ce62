-- Every reason that an answer tells, by account: the account's own errors, then those of its operations, then those of its patient; "because of" last.
SELECT z_sl.n AS z_sl_n,
  CASE WHEN left(ctrl.errors, 2) IN ('PK', 'PN') THEN 9 ELSE 0 END AS rank, ctrl.n AS n,
  rtrim(ctrl.osn230, '.') AS defect, ctrl.refreason AS kod, left(ctrl.errors, length(ctrl.errors) - 1) AS rule
FROM ctrl CROSS JOIN named JOIN z_sl ON z_sl.idcase = ctrl.recid WHERE upper(split_part(ctrl.file, '.', 1)) = concat('S', named.payer)
UNION ALL
SELECT oper.z_sl_n, 1, ctrl.n, rtrim(ctrl.osn230, '.'), ctrl.refreason, left(ctrl.errors, length(ctrl.errors) - 1)
FROM ctrl CROSS JOIN named JOIN oper ON oper.recid = ctrl.recid
WHERE upper(split_part(ctrl.file, '.', 1)) IN (concat('HO', named.payer), concat('HO', named.payer, named.mo))
UNION ALL
SELECT z_sl.n, CASE WHEN left(ctrl.errors, 2) IN ('PK', 'PN') THEN 9 ELSE 2 END, ctrl.n, rtrim(ctrl.osn230, '.'), ctrl.refreason,
  left(ctrl.errors, length(ctrl.errors) - 1)
FROM ctrl CROSS JOIN named JOIN pers ON pers.id_pac = ctrl.recid JOIN z_sl ON z_sl.pers_n = pers.n
WHERE upper(split_part(ctrl.file, '.', 1)) = concat('R', named.payer)
UNION ALL
SELECT z_sl.n, 0, me.n, rtrim(me.osn230, '.'), CAST(NULL AS VARCHAR), me.er_c
FROM me JOIN z_sl ON z_sl.sn_pol = me.sn_pol AND z_sl.nhistory = me.c_i AND z_sl.cod = me.cod AND z_sl.date_z_2 = me.d_u
  AND z_sl.iotd = me.iotd AND z_sl.iddokt = me.pcod AND z_sl.k_u = me.k_u
WHERE me.osn230 IS NOT NULL
