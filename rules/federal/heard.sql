-- Every reason that an answer gives for an account: sanctions inside the register, those of the protocol of
-- medical-economic control (A), faults of the protocol of form control (FLK_P). What takes money speaks first.
SELECT s.z_sl_n, CASE WHEN s.s_sum > 0 THEN 0 ELSE 1 END AS rank, s.n, '' AS defect, s.s_osn AS kod, '' AS rule
FROM sank s WHERE s.s_osn IS NOT NULL
UNION ALL
SELECT z.n, CASE WHEN s.s_sum > 0 THEN 2 ELSE 3 END, s.n, '', s.s_osn, ''
FROM a_sank s JOIN a_z_sl a ON a.n = s.up_n JOIN z_sl z ON z.idcase = a.idcase WHERE s.s_osn IS NOT NULL
UNION ALL
-- CHOSEN: a fault of form has no ground of its own, it counts as a field filled in wrongly
SELECT h.z_sl_n, 5, h.n, '', COALESCE(d.kod, ''), h.oshib FROM flk_hit h JOIN z_sl z ON z.n = h.z_sl_n
LEFT JOIN book_defects d ON d.key = 'field_wrong' AND z.date_z_2 >= d.valid_from AND (d.valid_to IS NULL OR z.date_z_2 <= d.valid_to)
