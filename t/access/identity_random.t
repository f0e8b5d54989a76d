#!/usr/bin/perl

# A property test for the identity seen in a location: random locations that lead to each other by
# subrequests and internal redirects, random cookies of three providers, and a model that knows the identity
# of each location. No location of one provider shows a user of another, and the model's predictions hold.
#
#   TEST_OIDC_SEED      the seed, default 8; failures name it
#   TEST_OIDC_ROUNDS    the number of configurations, one after the other, default 4
#   TEST_OIDC_REQUESTS  the number of requests to each, default 150
#
# Users are a-1 of provider a, whose sessions are in cookies, b-2 of b, in memory, and c-3 of c, in Redis.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use List::Util qw/ uniq /;

use Test::OIDC;
use Test::OIDC::Clock;
use Test::OIDC::JWT qw/ from_json /;
use Test::OIDC::Site;

my $seed = $ENV{TEST_OIDC_SEED} // 8;
my $rounds = $ENV{TEST_OIDC_ROUNDS} // 4;
my $requests = $ENV{TEST_OIDC_REQUESTS} // 150;

use constant { SERVERS => 4, LOCATIONS => 16, NAMED => 4, MAX_SHOWN => 5 };

my %user = (a => 'a-1', b => 'b-2', c => 'c-3');
my @providers = sort keys %user;

my $t = Test::Nginx->new()->has(qw/http map proxy rewrite ssi auth_request mirror/)->has_daemon('redis-server');
my $clock = Test::OIDC::Clock->new($t);
$t->plan(6 * $rounds);

my %port = (a => 8081, b => 8082, c => 8083);
my %op = map { $_ => provider($t, $port{$_}, user => { sub => $user{$_} }) } @providers;
my $redis = redis($t, 8379, clock => $clock);
$clock->follow(values %op);

# Of a round: its locations by name, auth_oidc of each server, the valid sessions by provider, and the
# identities that each request may show, by its number and location.
my (%location, @server_setting, %cookie, %allowed, %request_of);

for my $round (0 .. $rounds - 1) {
    my $number = $seed + $round;
    srand $number;
    my $conf = random_configuration();
    $t->write_file('random.log', '');
    $t->write_file_expand('nginx.conf', $conf);
    $t->run();

    my (@crossed, @differing, @stuck);
    is(join(', ', map { logs_in($_) } shuffled(@providers)), '', "seed $number: logins at all providers");
    for my $n (1 .. $requests) {
        $clock->advance(1 + int rand 20) if rand() < 0.5;    # the use of a session is recorded at intervals
        judge(random_request($n), \@crossed, \@differing, \@stuck);
    }

    my $left = one_of(@providers);
    is(join(', ', map { logs_out($_) } $left), '', "seed $number: a logout ends one session");
    for my $n ($requests + 1 .. $requests + 20) {
        judge(random_request($n), \@crossed, \@differing, \@stuck);
    }

    $t->stop();
    judge_log(\@crossed, \@differing);
    is(shown(@crossed), '', "seed $number: no identity crosses");
    is(shown(@differing), '', "seed $number: every location shows its own");
    is(shown(@stuck), '', "seed $number: every request gets a response");
    cmp_ok(scalar(uniq map { keys %$_ } values %allowed), '>', SERVERS * LOCATIONS / 2,
        "seed $number: most locations were seen");
    %$_ = () for \(%location, %cookie, %allowed, %request_of);
}

# ------------------------------------------------------------------------------------------------------
# The configuration

# The auth_oidc of a location: a provider, "verify a", "mode a" for auth_oidc_mode off, "off", "pick" for a
# variable, or "" for none.
sub random_setting {
    my (@more) = @_;

    return one_of((@providers) x 3, (map { ("verify $_", "mode $_") } @providers), 'off', 'pick', @more);
}

sub directives_of {
    my ($setting) = @_;

    return '' if $setting eq '';
    return 'auth_oidc $picked;' if $setting eq 'pick';
    return "auth_oidc $1; auth_oidc_mode verify;" if $setting =~ /^verify (\w)/;
    return "auth_oidc $1; auth_oidc_mode off;" if $setting =~ /^mode (\w)/;
    return "auth_oidc $setting;";
}

sub random_configuration {
    my @blocks = map { provider_block($_) } @providers;
    push @blocks, <<'EOF';
    oidc_session_store redis { type redis; hostname 127.0.0.1; port %%PORT_8379%%; }

    recursive_error_pages on;
    map $http_x_pick $picked { default off; a a; b b; c c; }
    map $oidc_claim_sub $volatile { volatile; default "$oidc_provider|$oidc_claim_sub"; }

    large_client_header_buffers 4 32k;
EOF
    @server_setting = ('', one_of(@providers), random_setting(), random_setting('', ''));
    my ($servers, $pages, $formats) = ('', '', '');
    for my $s (0 .. SERVERS - 1) {
        my @names = map { "s${s}l$_" } 1 .. LOCATIONS;
        my @named = map { "s${s}n$_" } 1 .. NAMED;
        $location{$_} = { name => $_, server => $s, setting => random_setting(('') x 5), does => 'page' } for @named;
        $location{ $names[$_] } = random_location($s, $names[$_], [ @names[$_ + 1 .. $#names] ], \@named)
            for reverse 0 .. $#names;

        $formats .= log_format($_) for @names, @named, "s${s}entry";
        $pages .= join '', map { ssi_page($_) } grep { $location{$_}{does} eq 'ssi' } @names;
        $servers .= server_block($s, map { $location{$_} } @names, @named);
    }
    return nginx_conf(@blocks, $formats, $servers, <<"EOF");
    server {
        listen 127.0.0.1:8085;
        default_type text/html;
        location /           { return 200 \$http_x_part; }
        location ~ ^/accel(?<to>/.*) { add_header X-Accel-Redirect \$to; return 200; }
$pages    }
EOF
}

sub provider_block {
    my ($name) = @_;

    my %more = (
        a => 'session_idle_timeout 1h; extra_auth_args "login_hint=$oidc_claim_sub"; session_store cookie',
        b => 'extra_auth_args "login_hint=$oidc_claim_sub&p=$oidc_provider"; session_store memory',
        c => 'session_idle_timeout 1h; session_store redis',
    );
    my $store = $name eq 'b' ? "    oidc_session_store memory { type memory; }\n" : '';
    return $store . oidc_provider($name, "$more{$name}; logout_uri /logout/$name",
        issuer => "http://127.0.0.1:$port{$name}");
}

# A location that leads only to later ones. Plain ones end as a page with a status of 200.
sub random_location {
    my ($server, $name, $later, $named) = @_;

    my @plain = grep { $location{$_}{plain} } @$later;
    my $does = @plain < 3 ? 'page' : one_of(qw/ page page return rewrite try named error accel ssi /);
    my %it = (name => $name, server => $server, setting => random_setting(('') x 3), does => $does);
    $it{to} = one_of(@$later) if $does =~ /rewrite|try|error|accel/;
    $it{to} = one_of(@$named) if $does eq 'named';
    $it{includes} = [ map { one_of(@plain) } 1 .. 1 + int rand 3 ] if $does eq 'ssi';
    $it{plain} = $does =~ /page|return|named/ || $does =~ /rewrite|try/ && $location{ $it{to} }{plain};
    $it{plain} = 0 if $it{setting} eq 'pick' && rand() < 0.5;

    $it{request} = one_of(@plain) if @plain && rand() < 0.3;
    $it{mirror} = one_of(@plain) if @plain && rand() < 0.2;
    $it{reads} = [ grep { rand() < 0.3 } qw/ set if volatile / ];
    return \%it;
}

sub location_block {
    my ($it) = @_;

    my ($name, $to) = ($it->{name}, $it->{to} && "/$it->{to}");
    my @lines = (directives_of($it->{setting}), "access_log %%TESTDIR%%/random.log $name;",
        qq{proxy_set_header X-Part "[$name \$oidc_provider|\$oidc_claim_sub]";});
    my %does = (
        page => 'proxy_pass http://127.0.0.1:8085;',
        return => qq{return 200 "[$name \$oidc_provider|\$oidc_claim_sub]";},
        ssi => "ssi on; proxy_pass http://127.0.0.1:8085/ssi/$name;",
        $to ? (
            rewrite => "rewrite ^ $to last;",
            try => "try_files /nothing $to;",
            named => 'try_files /nothing @' . substr($to, 1) . ';',
            error => "root /nowhere; error_page 404 $to;",
            accel => "proxy_pass http://127.0.0.1:8085/accel$to;",
        ) : (),
    );
    my %read = (
        set => 'set $read "$oidc_claim_sub $oidc_session_id";',
        volatile => 'set $read $volatile;',
        if => $it->{does} eq 'page' ? 'if ($oidc_claim_sub = b-2) { set $read 1; }' : '',
    );
    push @lines, map { $read{$_} } @{ $it->{reads} || [] };
    push @lines, "auth_request /$it->{request};" if $it->{request};
    push @lines, "mirror /$it->{mirror};" if $it->{mirror};

    my $match = $name =~ /n\d+$/ ? "\@$name" : "= /$name";
    return "        location $match { " . join(' ', (grep { length } @lines), $does{ $it->{does} }) . " }\n";
}

sub server_block {
    my ($s, @its) = @_;

    my @more = (directives_of($server_setting[$s]), rand() < 0.5 ? 'log_subrequest on;' : '',
        rand() < 0.5 ? 'set $seen "$oidc_claim_sub $volatile";' : '',
        rand() < 0.3 ? 'if ($oidc_claim_sub = nobody) { return 404; }' : '');
    my $own = join '', map { <<"EOF" } @providers;
        location = /login_$_ { auth_oidc $_; auth_oidc_mode require; proxy_pass http://127.0.0.1:8085; }
        location = /who_$_   { auth_oidc $_; auth_oidc_mode verify; proxy_pass http://127.0.0.1:8085; }
EOF
    return join '', <<"EOF", $own, (map { location_block($_) } @its), "    }\n";
    server {
        listen      127.0.0.1:8080;
        server_name s$s.example.com;
        access_log  %%TESTDIR%%/random.log s${s}entry;
        add_header  X-Identity "\$oidc_provider|\$oidc_claim_sub" always;
        add_header  X-Volatile \$volatile always;
        @more
EOF
}

sub ssi_page {
    my ($name) = @_;

    my $echo = qq{[$name <!--#echo var="oidc_provider" default="" -->|<!--#echo var="oidc_claim_sub" default="" -->]};
    my $includes = join $echo, map { qq{<!--#include virtual="/$_" -->} } @{ $location{$name}{includes} };
    my $last = rand() < 0.5 ? $echo : '';
    return "        location = /ssi/$name { return 200 '$echo$includes$last'; }\n";
}

sub log_format {
    my ($name) = @_;

    return qq(    log_format $name escape=json '{"location":"$name","n":"\$http_x_n","uri":"\$uri",)
        . qq("provider":"\$oidc_provider","sub":"\$oidc_claim_sub"}';\n);
}

# ------------------------------------------------------------------------------------------------------
# The model. A request is { n, server, pick, holds => {provider => 1}, seen_in => {name => [identities]} };
# an identity is "provider|sub", and "|" is none.

sub session_of {
    my ($request, $provider) = @_;

    return "$provider|" . ($request->{holds}{$provider} ? $user{$provider} : '');
}

# Provider and mode of a location, each inherited from the server unless set.
sub provider_and_mode {
    my ($request, $it) = @_;

    my ($provider, $mode);
    for my $setting ($it->{setting}, $server_setting[ $it->{server} ]) {
        $provider //= $setting eq 'pick' ? $request->{pick} // 'off' : $setting =~ /(\w+)$/ ? $1 : undef;
        $mode //= $setting =~ /^verify/ ? 'verify' : $setting =~ /^mode/ ? 'off' : undef;
    }
    return ('', 'nothing') unless defined $provider;
    $mode //= 'require';
    return $provider eq 'off' || $mode eq 'off' ? ('', 'off') : ($provider, $mode);
}

# Follows a request through its locations and records the identities that each may show. Subrequests pass no
# gate; @$gate has the identities that a location without auth_oidc may show.
sub follow {
    my ($request, $name, $gate, $is_main) = @_;

    my $it = $location{$name};
    my ($provider, $mode) = provider_and_mode($request, $it);
    return follow($request, $it->{to}, $gate, $is_main) if $it->{does} eq 'rewrite';
    return show($request, $it, $gate) if $it->{does} eq 'return';

    if ($is_main) {
        my @before = @$gate;
        my $identity = $provider && session_of($request, $provider);
        my $is_in = $provider && $request->{holds}{$provider};
        $gate = [$identity] if $is_in;
        $gate = [uniq(@before, $identity, '|')] if $mode eq 'verify' && !$is_in;
        follow($request, $it->{request}, [uniq(@before, @$gate)], 0) if $it->{request};
        return show($request, $it, $gate) if $mode eq 'require' && !$is_in;
    }
    follow($request, $it->{mirror}, $gate, 0) if $it->{mirror};
    return follow($request, $it->{to}, $gate, $is_main) if $it->{to};
    follow($request, $_, $gate, 0) for @{ $it->{includes} || [] };
    return show($request, $it, $gate);
}

sub show {
    my ($request, $it, $gate) = @_;

    my ($provider, $mode) = provider_and_mode($request, $it);
    my $is_open = $mode eq 'off' || ($mode eq 'verify' && !$request->{holds}{$provider});
    my @may = $is_open ? '|' : $provider ? session_of($request, $provider) : @$gate;
    my $seen_in = $request->{seen_in};
    $seen_in->{ $it->{name} } = [uniq(@{ $seen_in->{ $it->{name} } || [] }, @may)];
    return $it->{name};
}

# ------------------------------------------------------------------------------------------------------
# Requests

sub random_request {
    my ($n) = @_;

    my $s = int rand SERVERS;
    my %sent = map { $_ => 1 } grep { rand() < 0.7 } @providers;
    my %request = (n => $n, server => $s, pick => one_of(@providers, undef), seen_in => {},
        holds => { map { $_ => 1 } grep { $cookie{$_} && !$cookie{$_}{ended} } keys %sent });

    my ($path, $name) = ("/s${s}l" . (1 + int rand LOCATIONS));
    if (rand() < 0.15) {
        my $provider = one_of(@providers);
        $path = "/callback/$provider" . one_of('', '?error=access_denied', '?code=x');
        $name = "s${s}entry";
        $request{seen_in}{$name} = [ session_of(\%request, $provider) ];
    } else {
        $name = follow(\%request, substr($path, 1), ['|'], 1);
    }

    my $cookies = join '; ', map { "$_=$cookie{$_}{value}" } sort grep { $cookie{$_} } keys %sent;
    my $answer = browser(base => base_of($s))->get($path, headers => {
        'X-N' => $n, 'X-Pick' => $request{pick}, Cookie => length $cookies ? $cookies : undef });

    $allowed{$n} = $request{seen_in};
    $request_of{$n} = "$path of server $s with " . (join(' ', sort keys %sent) || 'no cookie')
        . (defined $request{pick} ? ", picks $request{pick}" : '');
    return { n => $n, location => $name, answer => $answer };
}

# Checks the identities in the header and the body, and those of the cookies that are set.
sub judge {
    my ($it, $crossed, $differing, $stuck) = @_;

    my ($n, $answer) = @$it{qw/ n answer /};
    push @$stuck, about($n, "status $answer->{status}") if !$answer->{status} || $answer->{status} >= 500;
    check($n, $it->{location}, $answer->{headers}{'x-identity'} // '|', 'header', $crossed, $differing);
    check($n, $it->{location}, $answer->{headers}{'x-volatile'} // '|', 'map', $crossed, $differing);

    my @parts = $answer->{body} =~ /\[(\w+ [\w|-]*)\]/g;
    check($n, split(/ /, $_, 2), 'body', $crossed, $differing) for @parts;
    my $includes = @{ ($location{ $it->{location} } || {})->{includes} || [] };
    push @$stuck, about($n, 'parts are missing') if $answer->{status} != 302 && @parts < 2 * $includes;

    for (@{ $answer->{set_cookie} }) {
        my ($provider, $value) = /^([abc])=([^;]+)/ or next;
        my $seen = browser(base => base_of(0))->get("/who_$provider", headers => { Cookie => "$provider=$value" })
            ->{headers}{'x-identity'} // '';
        push @$crossed, about($n, "cookie $provider holds $seen") if $seen ne "$provider|$user{$provider}";
        $cookie{$provider}{value} = $value if $seen eq "$provider|$user{$provider}" && !$cookie{$provider}{ended};
    }
}

sub judge_log {
    my ($crossed, $differing) = @_;

    for (split /\n/, $t->read_file('random.log')) {
        my $line = from_json($_);
        my ($n, $name) = @$line{qw/ n location /};
        next unless length $n && $allowed{$n}{$name};
        check($n, $name, "$line->{provider}|$line->{sub}", 'log', $crossed, $differing);
    }
}

sub check {
    my ($n, $name, $seen, $where, $crossed, $differing) = @_;

    my $may = $allowed{$n}{$name} or return push @$differing, about($n, "$where of $name, which is not expected");
    return if grep { $_ eq $seen } @$may;

    my ($sub) = $seen =~ /\|(.*)/;
    my $crosses = length $sub && !grep { /\|\Q$sub\E$/ } @$may;
    push @{ $crosses ? $crossed : $differing },
        about($n, qq{$where of $name: "$seen" and not "} . join('" or "', @$may) . '"');
}

sub logs_in {
    my ($provider) = @_;

    my $s = int rand SERVERS;
    my $browser = browser(base => base_of($s));
    $browser->set_cookie("$_=$cookie{$_}{value}; Path=/") for grep { $cookie{$_} } keys %cookie;
    my $answer = eval { $browser->login("/login_$provider") } // { status => $@ };
    my $seen = $answer->{headers}{'x-identity'} // 'nothing';
    $cookie{$provider} = { value => $browser->cookie($provider) // '-' };
    return $seen eq "$provider|$user{$provider}" ? () : "$provider: $answer->{status} $seen";
}

sub logs_out {
    my ($provider) = @_;

    my $browser = browser(base => base_of(int rand SERVERS));
    $browser->set_cookie("$_=$cookie{$_}{value}; Path=/") for keys %cookie;
    my $answer = $browser->get("/logout/$provider");
    $cookie{$provider}{ended} = 1;
    my @gone = grep { !defined $browser->cookie($_) } @providers;
    return $answer->{status} == 302 && "@gone" eq $provider ? () : "$provider: $answer->{status}, @gone";
}

sub base_of { return "http://s$_[0].example.com:" . port(8080) }

sub about {
    my ($n, $what) = @_;

    return "request $n, $request_of{$n}: $what";
}

sub shown {
    my (@all) = @_;

    my $more = @all - MAX_SHOWN;
    return join "\n", @all > MAX_SHOWN ? (@all[0 .. MAX_SHOWN - 1], "and $more more") : @all;
}

sub one_of { return $_[ int rand @_ ] }
sub shuffled { return map { $_->[1] } sort { $a->[0] <=> $b->[0] } map { [rand, $_] } @_ }
