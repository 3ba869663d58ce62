-- A returned account billed again: what its records get anew. `chosen(n)` are the accounts, `next(ns, day)` the new register.
-- The day of the return stays; the number of the register in which the account came back goes to COMMENT (CHOSEN).
WITH mine AS (
  SELECT z.line, z.vs, z.ns FROM z_sl z JOIN chosen c ON c.n = z.n
), kinds AS (
  SELECT m.line, COALESCE(k.repeat, '5') AS vs, m.ns AS was FROM mine m LEFT JOIN given_spr21 k ON k.code = m.vs
), day AS (
  SELECT CAST(day AS VARCHAR) AS text, ns FROM next
)
SELECT 'P' AS role, k.line, 'NS' AS field, d.ns AS value FROM kinds k CROSS JOIN day d
UNION ALL SELECT 'P', line, 'VS', vs FROM kinds
UNION ALL SELECT 'P', k.line, 'DATS', d.text FROM kinds k CROSS JOIN day d
UNION ALL SELECT 'P', k.line, 'DATPS', d.text FROM kinds k CROSS JOIN day d
UNION ALL SELECT 'P', line, 'PV', NULL FROM kinds
UNION ALL SELECT 'P', line, 'COMMENT', was FROM kinds
UNION ALL SELECT 'P', line, 'COMENTSL', was FROM kinds  -- the later version has this field in its place
UNION ALL SELECT 'U', u.line, 'NS', d.ns FROM usl u JOIN chosen c ON c.n = u.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'R', r.line, 'NS', d.ns FROM naz r JOIN chosen c ON c.n = r.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'O', t.line, 'NS', d.ns FROM o_of t JOIN chosen c ON c.n = t.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'I', t.line, 'NS', d.ns FROM i_of t JOIN chosen c ON c.n = t.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'C', t.line, 'NS', d.ns FROM c_of t JOIN chosen c ON c.n = t.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'E', t.line, 'NS', d.ns FROM e_of t JOIN chosen c ON c.n = t.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'M', t.line, 'NS', d.ns FROM m_of t JOIN chosen c ON c.n = t.z_sl_n CROSS JOIN day d
