-- The rows of a request about persons (FLK): one for each account of the register.
SELECT ns AS "NS", vs AS "VS", dats AS "DATS", sn AS "SN", datps AS "DATPS", code_mo AS "CODE_MO",
  pl_ogrn AS "PL_OGRN", fio AS "FIO", ima AS "IMA", otch AS "OTCH", pol AS "POL", datr AS "DATR",
  snils AS "SNILS", okato_oms AS "OKATO_OMS", spv AS "SPV", sps AS "SPS", spn AS "SPN", q_g AS "Q_G",
  famp AS "FAMP", imp AS "IMP", otp AS "OTP", polp AS "POLP", datrp AS "DATRP", c_doc AS "C_DOC",
  s_doc AS "S_DOC", n_doc AS "N_DOC", datn AS "DATN", dato AS "DATO"
FROM p_rec ORDER BY n
