-- What the payer writes into the records of returned accounts: record number, then the fields. `answered` tells the day,
-- `said` the defects of each refused account, the leading one first. PV holds as many codes as fit into its 40 bytes.
SELECT z.line, c.codes AS "PV", a.day AS "DVOZVRAT", COALESCE(k.returned, '3') AS "VS"
FROM z_sl z JOIN verdicts v ON v.z_sl_n = z.n CROSS JOIN answered a
LEFT JOIN given_spr21 k ON k.code = z.vs
LEFT JOIN (
  SELECT said.z_sl_n, string_agg(s.code, ' ' ORDER BY said.place) AS codes
  FROM said JOIN given_spr15 s ON s.defect = said.defect WHERE said.place <= 10 GROUP BY said.z_sl_n
) c ON c.z_sl_n = z.n
WHERE v.refused
