// TEST KEYS, made for these tests and published with them: they protect
// nothing. RSA 2048, private, DER (PKCS #1) in base64url. Other keys are made
// at run time, which would take too long for RSA.
#pragma once

#include <string_view>

namespace oidc::test {

constexpr std::string_view rsa_test_key =
    "MIIEpAIBAAKCAQEAl86HkZWEUpX_zZAjM0eoU-Yt4Rp37nsp6cmFFQBmgyMG3Ov_rjN7"
    "9GukBzrkoAHcSAaeHDKyvY2hsBxl0MqRhcAxHwkH7v4Q_cQzuvoVh2j-_Ijp2OTWmlqC"
    "QiQS7kfE8LCOwZ1m1YbfOTrqOSbj5gzeYY4vNhLJQjR-AKIvwLm7YJsBytb9zmGbclC1"
    "2dgdMIAwzIpAZRngXIQKDYc2sbbl6KqgdxncpePMfCBTKKkTaV3RAjX4Kb6H1edMHszs"
    "C55Atz4JtgwDmIduR-XEb1nrC88eYrehgDH1Bx7vC0yKPMczrOnEMzuYbfg1fvZGmBi9"
    "0MlNUtB-3EP_ya8oKwIDAQABAoIBAA9JaWZ0J3yHhVhmbN0DmMRGGBWkbDJULb7Qn7mj"
    "Li-DbfP-QeOBZLiSxFREDnS8aznHjNFrG4uyAPeyjGAvneLZnTiyWJ2s8PoU8V6hQ1y8"
    "6nx0rxO7y46EkbxmVI-xI3hXVzDREGNtLvpc3-w8adOnNRee0UtBLgogLhYTPvrJsYjx"
    "GEc96rSVC-wpMb7CXy7uqulsE7ce9UMiJi83E64dd0YFXQMVX1OfE20wYrNlFAoiKcJy"
    "rWxw33GORBQprKbLzxsty2ZLkAaMc8WVxw5S2qfYrijWfQfz5uh8PtDJnjAMJ9bv5ZdI"
    "TIXORuK6WDZgpsQy4aJ5-VIFHuNQyW0CgYEAyjR5G8AdPmYpJeVmJo-03_w9liZg8Znm"
    "YV8ftL2wSGhQusxBhW2bSumM_MhmRaRl7OqZPRqWr6EirEY6DmNsahrSMc3JtgrsYkQC"
    "ZnwY3BZlRkvc15jzFFAVV3K5K8W24laDEJ-6rIbehKF7Qj4FlBHhK4bHA2UrG3K5aC3Q"
    "NScCgYEAwDGYzaYYOYo_7R13OAgNjqcvCkkaRWEZ_uEsz67KE2H3qF32NLf64MC564Yx"
    "klNWFTSmcQIUebJHLomeArHw5Oqhgi3nlzgcOTsN6StXHSNKwo2BWzEA-SoaD40tLLkv"
    "Dhtbg0S-HPYW_WmUS3uzCqr1Dxq3moCZ0TDF9xNW_10CgYEAnNpzj_lJNhxdkw4OXZ9g"
    "edfbllwTG5d8xM_bcoMq-iAhb6X-tZg-vK_LNFPoMeHDRzL8yA-WEIt4sBaR9pNdiDli"
    "EExISrTSha-oBQQC7MdarFsw5vW4qmstAvb1eWUX5x-g8AZX8nl0p4H0cYBXJ3NvLiqQ"
    "uquB8vrdpFjViEUCgYEAiwmWRHe7IK0-D9h4LcXNoPybUDKQWc6kUrotg9UsBRejZV8M"
    "RRkv2jYyigtbg0LcjJy5KBncHCn3ytftwn9eCQ0gaB-zYbdK27A4IQ2kiMTGSba69PCf"
    "hqGJluSH4MnbG7Z43p71ddgly4_8oxrK7JW-kP3AA3qzTB2fqV2JW1UCgYAWNRPKwgM2"
    "bmmhbBV7G5tGMTTsGNlc8ePB7AyERju5sC4Hb6wH5w8mzu6mx75EHPebQDF33jlXFyz_"
    "UdB-xxo5VpuLQULcPcXpe9SmeNULs9VLYS1j5cSeT8UMAjkHc3suH-70qUktxPJt6e6P"
    "0MMHytQ9tPx47olw2Y1wpRBAZA";

constexpr std::string_view other_rsa_test_key =
    "MIIEogIBAAKCAQEAuk5USUYadAZXYsYNNssMsqS8WDPc04CN-zHbeWXYUYJNHskjw4w_"
    "G84V2QPushjopwzrRBasF9-KFzGSpM04KCOAGIe4iu5rizFu9Pkx3udTCdXZuavLvWja"
    "1QPtiRhlde-mdA3Lp3RYkOQ3rW_O_gOXVyYEmaAQDOXdUph_o-yJ7H4uFucrnagCoFr-"
    "yV17uZCqMpxdbejYkUPJAmaIVrjXg7PLTaDeJsGJcy1WJFmgd4XzQyRiiz5dcsY-Otqb"
    "Y4Xjrwyh3HFVxyMSzORwaBQ_oaTxRp2pbvFDikKehXSQxRNrYqwpH2g_z3r7mq0bgcsw"
    "UvzAQnJ78RqQ5w-YjQIDAQABAoIBAA0bZaKiDp-1soAodCreriNYo5zbnorisxpxBNfN"
    "lSJm4GDCFdoJYTHmQHM8FkGWrwd8STDzx2Jb6lh8twG7zlpEj8Z_Wzmq_GCWjGUqWEUu"
    "URE9Z6FAYjJj0MFxEqJf164sZgbUJve-SlzR3COU3M3SGDDxY8bLFACpoKB8ShPmJDKW"
    "QvBNY2HqAhG-HLB2kR-wd7t8pyh0F2HO_SAKh4VDP9BZxz5JhKH2tS2vexljOeSCETUF"
    "2jTuVsfCrQDwrqcayR4RUqYoeggaMYB8H4LRZcatqhi90ox27XNncrzRT4hxcsjzzXMP"
    "8JDCESYkgdn0xoamGUi9hxqnUJ1Py6ECgYEA3WXDKQ90PJnw-A_GkY75pFAjutXTHDTD"
    "QQiWCnN8S461y4SvpUzpH67iorsgNtezzEriK4TX8DXZQIKwdJQwDJUKZMCPlxFEpB43"
    "L-4WsQJyWYzGsd1H1uKHTVjKvKkgFXyMBu8AYj7u3bGXop3XkOYtldPscH8UULglgbaT"
    "M28CgYEA12yI9r8tI8Nz5VdFARLTGKf3s58rt6-QgI2B1Dqvxu9kCsKEsHAEuPHWNpOq"
    "Ui9GvRdlIO1vSLi27v71ZMSOJwbQeKpkbIsvpQraLX5AMz2a6CZx0qyPYlaV1HQe2hKX"
    "m8J6VOuILrtOsBtfd1QsTm6IZ19q7fVUs5P0lO3VxcMCgYAhQ-QB7F-Dp4GsU_p67meW"
    "B7CGpxAUQd1AjUC2C0oWtDeef65AgQDaENXeq40YkGpkfK_k6A3l-sFMzxYiPg3GJjKs"
    "lr48bYzJt_yEyBpCuGJkECHeoafkop6_wWKc3DCE6fTEKe791ATh7IgjF-JG1D7vLyts"
    "b7umsTR5e-w8IwKBgFk4e3VucnyYa7y1qz-pk0Jn9sAvEUUvcnK7qOTENZ738QA_1gLZ"
    "MiuDBcxu1iDZsbuJH_pGPEvrLODJOcs1WQay3M7NC3ClKON7HievXVmbjzfNDGFL1MrO"
    "v5lRSqHZB2-cWVwofKuWKh3oCF78vqjxQI9HxpqtfBowEiFIa7xPAoGAbl_cwkjqy7Ii"
    "5w-5L6hFZc6zyG482Wvnph7rTme5nu4za5SdPx-iioT7CDassNr6iRcZOKNn9-dZe4i9"
    "dd0-ItItjp0fX3aToSgFB1ujC6WxcZ08aGChlllK92FFpbT_e1lsrHgoX6hed40D9692"
    "T1A_wWuTDgty9AE2Jz4uIgI";

}
