-- What an answer says of each account: the codes of PV, the first one leading; a code of the book spr15 is told as the ground
-- in force on the day of the account.
SELECT t.z_sl_n, t.place AS rank, t.place AS n, COALESCE(d.osn, t.code) AS defect, COALESCE(d.kod, '') AS kod, '' AS rule
FROM (
  SELECT z.n AS z_sl_n, COALESCE(z.date_z_2, z.dats) AS day,
    unnest(string_split_regex(trim(z.pv), ' +')) AS code,
    generate_subscripts(string_split_regex(trim(z.pv), ' +'), 1) AS place
  FROM z_sl z WHERE trim(z.pv) <> ''
) t
LEFT JOIN book_spr15 s ON s.code = t.code
LEFT JOIN book_defects d ON d.key = s.defect AND t.day >= d.live_from AND t.day <= d.live_to
