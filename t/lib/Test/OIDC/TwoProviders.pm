package Test::OIDC::TwoProviders;

# The nginx.conf of a test in which requests use two providers, A at port 8081 and B at port 8082, whose
# extra_auth_args name a claim. A pair of stores, as [qw/ cookie redis /], has their sessions; Redis is at
# port 8379. Each pair has a server of each kind:
#
#   plain    A at server level; its access log is plain.log, and so on
#   logged   with log_subrequest, and a B whose arguments name no claim
#   debug    with the debug log in debug.log
#   open     nothing at server level
#
#   two_providers(@pairs)       the nginx.conf; every page has its identity in X-Identity, as
#                               "provider|sub|authenticated"; an included part has it in its body
#   visitor($pair, $kind)       a browser at such a server; default plain

use warnings;
use strict;

use Test::Nginx qw/ port /;
use Test::OIDC qw/ browser /;
use Test::OIDC::Site;

our @EXPORT = qw/ two_providers visitor /;
use base qw/ Exporter /;

sub two_providers {
    my (@pairs) = @_;

    my @providers = map {
        (oidc_provider("a_$_", "session_store $_; logout_uri /logout/a_$_"),
            oidc_provider("b_$_", join('; ', "session_store $_", "logout_uri /logout/b_$_", 'revoke_on_logout on',
                'session_idle_timeout 20m', 'extra_auth_args "login_hint=$oidc_claim_sub"'),
                issuer => 'http://127.0.0.1:8082'),
            oidc_provider("n_$_", "session_store $_", issuer => 'http://127.0.0.1:8082'));
    } qw/ cookie redis /;

    my @servers = map { my $pair = $_; map { server($_, $pair) } qw/ plain logged debug open / } @pairs;
    return nginx_conf(<<'EOF', @providers, @servers);
    oidc_session_store redis { type redis; hostname 127.0.0.1; port %%PORT_8379%%; }

    server_names_hash_bucket_size 128;
    large_client_header_buffers 4 32k;
    log_format who '$log_uri $status $oidc_provider|$oidc_claim_sub|$oidc_authenticated';
    map $request_uri $log_uri { ~^(?<log_path>[^?]*) $log_path; }
    map "$oidc_provider|$oidc_claim_sub" $volatile_identity {
        volatile;
        ~^(?<part_p>\w)_\w+(?<part_s>\|.*)$ $part_p$part_s;
        default                              $oidc_provider|$oidc_claim_sub;
    }

    server {
        listen 127.0.0.1:8085;
        return 200 $http_x_part;
    }
EOF
}

sub host_of {
    my ($pair, $kind) = @_;

    return join('-', $kind, @$pair) . '.example.com:' . port(8080);
}

sub visitor {
    my ($pair, $kind) = @_;

    return browser(base => 'http://' . host_of($pair, $kind // 'plain'));
}

sub server {
    my ($kind, $pair) = @_;

    my %more = (
        plain => 'auth_oidc A;',
        logged => 'auth_oidc A; log_subrequest on;',
        debug => 'auth_oidc A; error_log %%TESTDIR%%/debug.log debug;',
        open => '',
    );
    my ($host) = host_of($pair, $kind) =~ /^([^:]*)/;
    my $common = common_locations();
    my $own = $kind eq 'open' ? open_locations() : closed_locations();
    my $b = $kind eq 'logged' ? 'n' : 'b';

    return <<"EOF" =~ s/\bA;/a_$pair->[0];/gr =~ s/\bB;/${b}_$pair->[1];/gr;
    server {
        listen      127.0.0.1:8080;
        server_name $host;
        access_log  %%TESTDIR%%/$kind.log who;
        $more{$kind}

        add_header X-Identity "\$oidc_provider|\$oidc_claim_sub|\$oidc_authenticated" always;
        add_header X-Error    \$oidc_error always;
        add_header X-Worker   \$pid always;

$common$own    }
EOF
}

sub common_locations {
    return <<'EOF';
        location /a/        { auth_oidc A; proxy_pass http://127.0.0.1:8085; }
        location /b/        { auth_oidc B; proxy_pass http://127.0.0.1:8085; }
        location /check_a   { auth_oidc A; proxy_set_header X-Part $oidc_claim_sub; proxy_pass http://127.0.0.1:8085; }
        location /check_b   { auth_oidc B; proxy_set_header X-Part $oidc_claim_sub; proxy_pass http://127.0.0.1:8085; }

        proxy_set_header X-Part $volatile_identity;
        location /part_a    { auth_oidc A;   proxy_pass http://127.0.0.1:8085; }
        location /part_b    { auth_oidc B;   proxy_pass http://127.0.0.1:8085; }
        location /part_off  { auth_oidc off; proxy_pass http://127.0.0.1:8085; }
        location /part_open { proxy_pass http://127.0.0.1:8085; }
        location /parts/    { ssi on; }
        location /b_parts/  { ssi on; auth_oidc B; alias %%TESTDIR%%/parts/; }
EOF
}

sub closed_locations {
    return <<'EOF';
        location /a_verify   { auth_oidc_mode verify; proxy_pass http://127.0.0.1:8085; }
        location /b_verify   { auth_oidc B; auth_oidc_mode verify; proxy_pass http://127.0.0.1:8085; }
        location /off        { auth_oidc off; proxy_pass http://127.0.0.1:8085; }
        location /mode_off   { auth_oidc B; auth_oidc_mode off; proxy_pass http://127.0.0.1:8085; }
        location /by_variable { auth_oidc $arg_name; proxy_pass http://127.0.0.1:8085; }

        location /b_to_a     { auth_oidc B; try_files /nothing /a/; }
        location /b_to_off   { auth_oidc B; try_files /nothing @off; }
        location @off        { auth_oidc off; proxy_pass http://127.0.0.1:8085; }
        location /b_absent   { auth_oidc B; root /nowhere; error_page 404 /off; }
        location /b_absent_mode { auth_oidc B; root /nowhere; error_page 404 /mode_off; }
        location /b_rewritten { auth_oidc B; set $read $oidc_claim_sub; rewrite ^ /a/ last; }

        location /b_checked  { auth_oidc B; auth_request /check_a; proxy_pass http://127.0.0.1:8085; }
        location /a_checked  { auth_request /check_b; proxy_pass http://127.0.0.1:8085; }
        location /off_checked { auth_oidc off; auth_request /check_b; proxy_pass http://127.0.0.1:8085; }
        location /b_anonymous_checked {
            auth_oidc      B;
            auth_oidc_mode verify;
            auth_request   /check_a;
            proxy_pass     http://127.0.0.1:8085;
        }
        location /b_set      { auth_oidc B; set $read $oidc_claim_sub; proxy_pass http://127.0.0.1:8085; }
        location /off_set    { auth_oidc off; set $read $oidc_claim_sub; proxy_pass http://127.0.0.1:8085; }

        location /b_few      { auth_oidc B; proxy_pass http://127.0.0.1:8085; }
        location /b_many {
            auth_oidc B;
            auth_request /check_a;
            set $read "$oidc_claim_sub $oidc_session_id $oidc_id_token $oidc_access_token $oidc_session_expires";
            proxy_set_header X-Part "$read $oidc_claim_sub $oidc_auth_time $oidc_access_token_expires $oidc_userinfo";
            proxy_pass http://127.0.0.1:8085;
        }
EOF
}

sub open_locations {
    return <<'EOF';
        location /open          { proxy_pass http://127.0.0.1:8085; }
        location /open_checked  { auth_request /check_b; proxy_pass http://127.0.0.1:8085; }
        location /open_named    { try_files /nothing @open; }
        location /open_to_b     { try_files /nothing /b/; }
        location @open          { proxy_pass http://127.0.0.1:8085; }
        location /b_named       { auth_oidc B; try_files /nothing @open; }
        location /b_failed      { auth_oidc B; root /nowhere; error_page 404 /open; }
        location /b_verify_named { auth_oidc B; auth_oidc_mode verify; try_files /nothing @open; }
        location /b_checked_named { auth_oidc B; auth_request /check_a; try_files /nothing @open; }
        location /a_b_open      { auth_oidc A; try_files /nothing /b_named; }
        location /off_open      { auth_oidc off; try_files /nothing @open; }
EOF
}

1;
