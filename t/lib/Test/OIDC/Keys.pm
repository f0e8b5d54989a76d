package Test::OIDC::Keys;

# The fixed key pairs of the test provider, by key id, so that a test starts without generating any.
# TEST KEYS, PUBLISHED WITH THE SOURCE: for loopback only, never use one anywhere else.
#
# Key ids: rsa, rsa-2 (2048 bits), rsa-1024 (rejected as too weak), ec-256, ec-256-2, ec-384,
# ec-521, ed25519, ed25519-2.

use warnings;
use strict;

use Crypt::PK::ECC ();
use Crypt::PK::Ed25519 ();
use Crypt::PK::RSA ();

# Read immediately: processes forked later would share the offset of the DATA handle.
my %pem = read_pems();
my %loaded;

sub private_key {
    my ($kid) = @_;

    die "no test key \"$kid\"" unless $pem{$kid};

    my $class = $kid =~ /^rsa/ ? 'Crypt::PK::RSA'
        : $kid =~ /^ec/ ? 'Crypt::PK::ECC'
        : 'Crypt::PK::Ed25519';

    return $loaded{$kid} ||= $class->new(\$pem{$kid});
}

sub public_jwk {
    my ($kid) = @_;

    return { %{ private_key($kid)->export_key_jwk('public', 1) }, kid => $kid, use => 'sig' };
}

# SubjectPublicKeyInfo, as PEM and as DER: what an attacker would use as an HMAC secret.
sub public_pem {
    my ($kid) = @_;

    my $format = $kid =~ /^rsa/ ? 'public_x509' : $kid =~ /^ec/ ? 'public_short' : 'public';
    return private_key($kid)->export_key_pem($format);
}

sub public_der {
    my ($kid) = @_;

    my $format = $kid =~ /^ec/ ? 'public_short' : 'public';
    return private_key($kid)->export_key_der($format);
}

sub read_pems {
    my $text = do { local $/; <DATA> };
    close DATA;
    return $text =~ /^kid: (\S+)\n(.+?^-----END.+?\n)/gms;
}

1;

__DATA__
kid: rsa
-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCuBowYiR9ZXCYX
NZj2CVR4Wvzi/GZ/Pcqfm2Yzp9jRBneIKb2efKfzwq145lRXf1NPUYPmTySnX1uk
Cgt2cTvIfiOm3tFwMKZx0/Kibvvi9ev2FQu6poTR+OEAukcKdPVrIS1NDfBcFmct
2XUwtxVklgKRluxZhJcPObickwNbAEcmeuGL3teb2RZHF8jpjOAg7OrXK0xrNt3H
UcQN4/NkY4i43LljTM/T1PtTG0xxTJA5NJ/cVyfrRw4j9qkqDTzF+bYApoP28E3v
SHp1G/mPwPwaJBUn8SzXU8+DLVZKpIJbj2Uq7QBTg5pUKQSVJljos6zeelGh539y
dTE/ZBjjAgMBAAECggEAFrTi/bvn5mnSzITL9w+466qk7txpEUws4+N2aTdgNRyH
ZzGvEf6zjrzwPo4AeO7eSMNa7FJCTEEcfMxqD3kZ3atbwoULRdILPbSefERH7dFn
CZOtv/EZ89MUpLApidCV9HWpQAcZaCKXhuYmAjEOrl0Ga8cKAr99UwQV4FQsWWik
qcVOScr0qmuufkXVIJnUXK88LAxoHhIjw75mUINiAvIz/Y575yPQ711N+K65sRBh
leVMi+nFW22rGaKjuZVPaPaSuxQhmFAtVeS3E+YhuuKZr0tQG01/sH7KddWAKQvB
I44ufWdohbcxtSWXLnYalu88diZn/FVGHSmNLO2RVQKBgQDqLLewrNcD9B/14n4Y
8TZGLclQ/APVU3ZQFL8ZLHXEKDYuMw8BzUncadzclzURvouaj9ZULn7sByzWgR2A
k+amQ7nD1CCcLzTVvEjfmw3WcSiDDjpF7ox6lhYHPpf8nMmyk/e5OKSskwV5aE7z
hPdBaiFt1hiflUcLEFqkxJ9xbQKBgQC+PrROJF+TG9hVenhJAdrNG4B2E8xlQr6e
E6pC7jFcYsZqZtWFpEKbBfN4PggOr8IAwU6JCNR6i0rQngf5krY86GgkI9NMZs6D
6FpZ4lYtgd5Dz5q7kmEUQA80uj0a2qDztxt4SWxoscbmGVfCVhB5Z1XGlTddaf0n
CWoB70mRjwKBgEJdS+2Q/hqLu+cGOjA9Y+E9ppkB4uA5GAWX65RpyjI+JySuqakc
EbuacNI/M/YEZzH1Y4tV5fhkDCv6SW8f+zTRarr5yggZRMLx6kEcgy5rwUxq4s7g
zQUMtc91yML5eBvY3VKrn9ecjueaTQ2seBocxr6G91F6j7it+NJLOth9AoGBALkR
ssFZrQgkzFzLGPycq0dge6ViOTJArcKFito1cRtYk4CqrQim9IxuS50raxcub2Hg
qw+v4VOc8ZjkQwnMaS/zPmv51fG7CSdU/5/1CLSYY6o/6VyTV5EliCVZD1xyVqT/
+d8YPjfSyZTKDo9kvf38Qns+aW+cTcKN6+wZ5c2NAoGBAIVUd9nSGNMtsHHhCcUH
AxlT3QJP1+pI2/4Sy5fXQ4cF+M7smywAJ5cMIzCGSH7jW8JCRc3hH39EWNX7ryp8
iUaM672PcEyMGnSA3FyTMSgJPGBWQJogL8pGrikzneDtr4QLGE8jUHl/Lyqkx9y0
V2lhlnYV3MPydsEy6WHi7c8H
-----END PRIVATE KEY-----
kid: rsa-2
-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQCi820ZnA/QYwYF
kuYPkptD6xQ6j7tzYhd0hELtGOx1RGXv6uj27mYKD7wy/bQ0pnk4Ys05lZI8eMKe
6thHXBKZoLicEJ1Ai2ZLctrDUwhSiL38fqkDp80iV9olcmlULGZRRO5pcrx8a3+f
7WL7ObjeD+AxnnXy1L1F977DUN7oHACalK7ri8Qgn+o+Xr0NMTTXu2fBIaLpzZOH
H7ppTPwhZYsrUjZvTS5b21ETRexl6l8PHFCB2JvPdMoIpTty135xrv9RngNuxAmu
1ZSiFnmECeNzs+3b7dmQL0yxkr7GODDy87BEFpV55K/jj26ClT8G/p/BitBBYauS
/wjzwnxNAgMBAAECggEAFhKuZSkwNTSstKWU92gPEzCtUU91/2e6sKRX4oEdSrdE
ra6e9xAND3DZN/kI55bjVcGAdjvuDrX2+wrp2CS/OkM8rptLido4NaEtxAaj2nY+
cg0APQgGcBABc1Aft3C6PWj+eJc7tAjlxValMU283ou8/UuvQ4EQ0IECPLfgMgWd
jgzJkQ7FArIIulB10rwvQCkomuDqhgsxonvgbw5BJp+/6iyEp3lie2WgqDUDy5/h
ICohF6OMoJnO2AQZ1IkvG3zKkwDDTG9rr+d/wFwyavl6VmbIURwDvjyuBkVJ9pRD
3oIJ2BY3PHktGStEaW8A8l1zeTGdTYdnLvLMneh5qwKBgQDbu9EiDxeWpL2UqI+n
xvSRHjaKEYUyT+27gIx5GGWl3xx9MqxPpF151tqVG3LZBto1Rei/A0zIxJlbHG6v
CJzdw3c5FNhvdAKqwxk90/ylh3Fxj5/cXoQnQ1Mf6LT1YrCm7zoVoL2APuRW6Bm9
ozVbhiDgxdpwA5d+pEZqprnUhwKBgQC92GyeLqTS2bQu2N0jHEdlaZmbQk3VSVOX
GBuVjPrh58ThGmsFfWg3TSguf69RWjL2UzyO3Mf/2cdOg9qQJTjHKJNx+1S+qrn8
KMrlsjtBqb/8WuIWbJOzpffsRx6xIFUw+PxlCn760yXKUODu5SFFz/RYLN4rSueV
RNQrkS/xiwKBgDaYDJb0vvybw8qass6RvRQNOKnHPpvIhh2PC9fOevriWza0D2He
SadK/ZYMctV/QVn5G6HR1RMQ3bVodAujDS6AMTAKgNf4L+1zeeMFt4D9DO+VKrfa
9+S1coK8E7HgKlnfmEPlYw/pEFyTYEngshIiWirena41Bj/d2u0GracjAoGBAJZB
WwZ/aFixkdiaL7wAP8nWIIsvmSa8WHp3zC07Xb26kKqRHC9GKFvMp4bV7E55E2i+
TGnN+EVZelN8LFp1+1A1ny1RfKtDuNwI9T2DKT85OQhkbhjNasF/FJBfYb1TF9og
1rKp8gJXZ8uO49hwZTs58exv5o9hQ5Vy2nJ5APctAoGBAM8/4+AGaBf8Bsdj/Fdv
xUHkCxXWT/L2eRDQVCwBmhOlzjgZpDysPvHuwwnZFNIfDzwKs8ugCBaAKKTstz4j
GNOLXzw//NTNYO2sIETpglBdrFraSAkIS5DHEnL4ggIOn78mr8S0vMPZI+4o/HIY
92xt4oXUBYfPqAV8NPx0WzLk
-----END PRIVATE KEY-----
kid: rsa-1024
-----BEGIN PRIVATE KEY-----
MIICdwIBADANBgkqhkiG9w0BAQEFAASCAmEwggJdAgEAAoGBAKEN2vZTMnWcsKen
fikQhrFiT6bN22itQ5OOlmEqTCcMV+Pfk4SxDgt5W5EJekxH4JUwpd/7g+sh87LH
xW1u2JhgQSucJU9+XdU3S406JUzKaiLp0ZP+LQS+c968U7ugCVqVnHD0aBZmsspM
HHPKPG3oohpSEKfHLZYXwKH5jfOjAgMBAAECgYEAm2Mh0q18rssKCgfpCje+rOB8
lyRgv8MDwxc8cez8YmRfXCV3T/v/4AQr22i4jWaAAZFZSRyDL9anKOPj0Oy0ne9H
sxU/7Rec21CXCw7eXuRoT+LAxCE98WCtnJPsRzLKeI+GGY1VddjHoqqoY58OleDR
tCGPsCrYnI5KID+ZHCECQQDWML/TLz/JTf2Od+vaa61Bsw63jagBVc1TBzTO4FKH
2fsEUx6q+Zv532ouz0OOeWhmwupfgCVE6ADKmA49f0dTAkEAwH3YrXiIG5kexKKo
y6LQZvDFW1YRfonu80wPGd+Hdo1gnsUQYI2m7k/Fuek68Lgjlk2Q1al0YYgDBB4/
LwuocQJAVIeYrLeQ7Nkin/8jzWeBUNRhkn8NNrmt9n55kMtmxsZ4EhTbnY40yEAr
n52cg7XWRffWlynzi2YkKdAojoyUkQJBAInR0PCrCvCPmkr5l1dttD7wBq4VmqL6
CT7jZzCELc5A/TvQJqCq6ylXrl8k0VGG1dwInzmLgUtPgbFSIrUBaNECQCzK1bh2
SHy3bsgp6AYW6InZ/RnODiIamHUJe/nwbZ8dHzMES9oRmr9IPPjsv6X7XkVqRxoF
S9cVfT35ccs82Gw=
-----END PRIVATE KEY-----
kid: ec-256
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg/TP2vOpK2A7b+hY3
+gp0dlbv4WxRAlYVEDPbMbLKYHyhRANCAATRyX/G0k1cQspdk5CXzJloByaIrQ/2
wVQyGrp1gL7oEpF/MQGmP6FRbaRLVs8ScQkv5d2FVrtg9sa9UEy+sNUH
-----END PRIVATE KEY-----
kid: ec-256-2
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgdqvwfHnJCvGXIUyE
5NtwHqISXiOxRoJssGtCaqnhMfChRANCAARjk4uLwE6HX2gsmz/lT2ZbB6C95ONW
ARWqkEyIYeYprCIp3ylChXQYgDzm8J98DeUMhh5lxeUq7/uM4KzA2iYe
-----END PRIVATE KEY-----
kid: ec-384
-----BEGIN PRIVATE KEY-----
MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDCZdCQIO3MEtSFoJVE8
1Uf7LWZqQbbc9gaxFcP4DxVYk9nJOZfC/bR0CAjSOyCuns+hZANiAAQAxfWUdU81
X5QfpPZPEno14FFP7OjaYe8fB2eVf3vFTi4H6As4WqGAwZ+NjNhu2IxQCdsLbOTQ
e3sephDotNDzJYaaiXSfmyfwsn3sbTnk1R7SS5fEyGmoig9bY2R8xko=
-----END PRIVATE KEY-----
kid: ec-521
-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIBQ6c4I0qhljFNWdC4
ffiUbsl4CEamcwv0JU5lZjX6osMzWxwvxMAZF8uYPNKQ1Jatu36MubzUkxLtaqOC
CSszwOehgYkDgYYABADmiAVufFhtYlJsrZK/Nor7M4Eulh2FFSRSLtpuUV8XtsiU
FI3hBd6NhRDa/QFfJrFauaG4ClKWcgifN8ltTZBYeQGQ5mQcSUSvJq3eCKrhr7ur
6ae0PjTK0f6vq9tPTpO4xYNybHDDA7V8MNPkOEt6tAValOQ/zWrBsZhM0RNcmYJh
FQ==
-----END PRIVATE KEY-----
kid: ed25519
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEID/NaJQlAkTde45umXbsGYwFomMKcxYlm5Uzqgdxci4Q
-----END PRIVATE KEY-----
kid: ed25519-2
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIOssz17lPcfgcoOWpFYJuq/fOwpgvwltnvX/hCAfuf1p
-----END PRIVATE KEY-----
