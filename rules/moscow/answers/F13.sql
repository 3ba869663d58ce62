-- F13<insurer>.dbf: settlement of the accounts of every organisation. origin: rules of file exchange of Moscow 1.4.5, section 4.2.
-- `settled(mo, period, claimed, accepted, experts)` comes from the ledger: claimed, accepted by the first control, withheld by experts (kopecks);
-- `money(mo, name, kopecks)` is what no register tells (advance, per-capita sum, settlements between organisations, fines): 0 where it is not given.
-- CHOSEN: the rules call S_EXPERT1 negative where money is withheld and subtract it all the same; here it is negative and is added.
WITH given AS (SELECT mo, COALESCE(max(kopecks) FILTER (name = 'S_AVANS'), 0) AS s_avans, COALESCE(max(kopecks) FILTER (name = 'S_PRED_PF'), 0) AS s_pred_pf, COALESCE(max(kopecks) FILTER (name = 'S_CALC_PF'), 0) AS s_calc_pf, COALESCE(max(kopecks) FILTER (name = 'S_PR_P'), 0) AS s_pr_p, COALESCE(max(kopecks) FILTER (name = 'S_PR_PNO'), 0) AS s_pr_pno, COALESCE(max(kopecks) FILTER (name = 'S_PR_OUTP'), 0) AS s_pr_outp, COALESCE(max(kopecks) FILTER (name = 'S_PR_NOPF'), 0) AS s_pr_nopf, COALESCE(max(kopecks) FILTER (name = 'S_PR_NOP'), 0) AS s_pr_nop, COALESCE(max(kopecks) FILTER (name = 'S_PR_AVANS'), 0) AS s_pr_avans, COALESCE(max(kopecks) FILTER (name = 'S_SANK'), 0) AS s_sank, COALESCE(max(kopecks) FILTER (name = 'S_FINE'), 0) AS s_fine, COALESCE(max(kopecks) FILTER (name = 'S_DOP1'), 0) AS s_dop1 FROM money GROUP BY mo),
one AS (
  SELECT s.mo, s.period, s.claimed, s.accepted, -s.experts AS experts, COALESCE(g.s_avans, 0) AS s_avans, COALESCE(g.s_pred_pf, 0) AS s_pred_pf, COALESCE(g.s_calc_pf, 0) AS s_calc_pf, COALESCE(g.s_pr_p, 0) AS s_pr_p, COALESCE(g.s_pr_pno, 0) AS s_pr_pno, COALESCE(g.s_pr_outp, 0) AS s_pr_outp, COALESCE(g.s_pr_nopf, 0) AS s_pr_nopf, COALESCE(g.s_pr_nop, 0) AS s_pr_nop, COALESCE(g.s_pr_avans, 0) AS s_pr_avans, COALESCE(g.s_sank, 0) AS s_sank, COALESCE(g.s_fine, 0) AS s_fine, COALESCE(g.s_dop1, 0) AS s_dop1, COALESCE(l.attached, '0') = '1' AS per_capita,
    COALESCE(l.hospital, '0') = '1' AS hospital
  FROM settled s LEFT JOIN given g ON g.mo = s.mo LEFT JOIN given_spr_lpu l ON l.code = s.mo)
SELECT lpad(CAST(row_number() OVER (ORDER BY mo, period) AS VARCHAR), 6, '0') AS recid, mo AS lpu_id, 'M' AS info_type, replace(period, '-', '') AS period,
  s_avans, claimed AS s_pred, s_pred_pf, s_calc_pf, accepted AS s_pr_opl, s_pr_p, s_pr_pno, s_pr_outp, s_pr_nopf, s_pr_nop,
  CASE WHEN per_capita AND NOT hospital THEN s_avans ELSE s_pr_avans END AS s_pr_avans, 0 AS s_fact, 0 AS s_profusl, 0 AS s_dayhos, 0 AS s_rest_pf,
  CASE WHEN experts <> 0 THEN replace(period, '-', '') END AS period_e, CASE WHEN experts <> 0 THEN '2' END AS et, experts AS s_expert1,
  CASE WHEN per_capita THEN experts ELSE 0 END AS kor_exp, s_sank, s_fine,
  CASE WHEN per_capita THEN s_calc_pf - s_avans - s_pr_pno + s_pr_outp + s_pr_nop + s_pr_nopf + experts ELSE accepted - s_avans + experts END AS s_k_perech,
  CASE WHEN per_capita THEN s_calc_pf - CASE WHEN hospital THEN s_pr_avans ELSE s_avans END - s_pr_pno + s_pr_outp + s_pr_nop + experts ELSE 0 END AS itog, s_dop1
FROM one ORDER BY mo, period
