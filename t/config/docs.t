#!/usr/bin/perl

# Tests for the examples of README.md and docs/: nginx accepts each of them,
# and the smallest logs a user in. The blocks that an example omits are added,
# and its files and ports are replaced by those of the test.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Examples qw/ examples_of localize /;

# The context of a directive that begins an example; all others are in a location.
my %level = (
    (map { $_ => 'main' } qw/ events http load_module /),
    (map { $_ => 'http' } qw/ server map upstream oidc_provider oidc_session_store oidc_state_zone oidc_claim_set
        keyval_zone log_format include resolver /),
    (map { $_ => 'server' } qw/ location listen server_name /),
);

my $top = "$FindBin::Bin/../..";
my @examples = map { examples_of($_) } 'README.md', map { s{^\Q$top/}{}r } sort glob "$top/docs/*.md";

my $t = Test::Nginx->new()->has(qw/http http_ssl map proxy rewrite/)->plan(3 + @examples);

certificate_authority($t, 'ca')->issue('site');

provider($t, 8081, client_id => 'unique_id', client_secret => 'unique_secret');
$t->write_file_expand('nginx.conf', complete(localize($t, with_parties($examples[0]{text}))));
$t->run;
like(login('/')->{body}, qr/user=alice/, 'the smallest configuration of README.md logs in');

cmp_ok(scalar @examples, '>', 10, 'the pages have examples');
like(verdict($t, "auth_oidc nobody;\n"), qr/unknown oidc_provider "nobody"/, 'a wrong example is refused');

is(verdict($t, $_->{text}), '', "$_->{where} is accepted") for @examples;

# The provider of the test, and an application that returns the user it was told.
sub with_parties {
    my ($text) = @_;

    my $application = "server {\nlisten 127.0.0.1:8083;\nreturn 200 \"user=\$http_username\";\n}\n";
    return $text =~ s{https://accounts\.example\.com}{http://127.0.0.1:8081}r =~ s/^\}\n/$application}\n/mr;
}

# The error of nginx for an example, or ''.
sub verdict {
    my ($t, $example) = @_;

    $t->write_file_expand('nginx.conf', complete(localize($t, $example)));
    my $said = $t->dump_config;
    return '' if $said =~ /test is successful/;
    return $said =~ /\[emerg\] (?:\d+#\d+: )?(.*)/ ? $1 : "nginx said: $said";
}

sub complete {
    my ($text) = @_;

    my $level = level_of($text);
    my $providers = providers_for($text);

    $text = "location / {\n$text}\n" if $level eq 'location';
    $text = "server {\nlisten 127.0.0.1:8080;\n$text}\n" if $level =~ /location|server/;
    $text = "http {\n$text}\n" if $level ne 'main';
    $text .= "http {\n}\n" if $text !~ /^http \{/m;
    $text =~ s/^http \{\n/http {\n%%TEST_GLOBALS_HTTP%%\n$providers/m;
    return "%%TEST_GLOBALS%%\ndaemon off;\n" . ($text =~ /^events /m ? '' : "events {}\n") . $text;
}

# The blocks that an example uses but does not contain.
sub providers_for {
    my ($text) = @_;

    my %shown = map { $_ => 1 } $text =~ /\boidc_provider (\w+)/g;
    my %used = map { $_ => 1 } grep { !/^(?:off|nobody)$/ } $text =~ /\bauth_oidc +(\w+);/g;
    return join '', map { "oidc_provider $_ { issuer https://op.example.com; client_id client; }\n" }
        grep { !$shown{$_} } sort keys %used;
}

# The outermost context of an example's directives; a location if unknown.
sub level_of {
    my ($text) = @_;

    my %found;
    my $depth = 0;
    for (split /\n/, $text =~ s/#.*//gr) {
        $found{ $level{$1} // 'location' } = 1 if $depth == 0 && /^\s*(\w+)/;
        $depth += tr/{// - tr/}//;
    }
    my ($outermost) = grep { $found{$_} } qw/ http server location /;
    return $found{main} || !$outermost ? 'main' : $outermost;
}
