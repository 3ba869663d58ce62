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
UNION ALL SELECT 'U', u.line, 'NS', d.ns FROM usl u JOIN chosen c ON c.n = u.z_sl_n CROSS JOIN day d
UNION ALL SELECT 'R', r.line, 'NS', d.ns FROM naz r JOIN chosen c ON c.n = r.z_sl_n CROSS JOIN day d
