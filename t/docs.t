#!/usr/bin/perl

# Tests for the examples of README.md and docs/: nginx takes every one of them,
# and the smallest logs a user in. What an example leaves out is put around it,
# and its files and ports become those of the test.

use warnings;
use strict;

use File::Basename qw/ dirname /;
use File::Path qw/ mkpath /;
use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/lib"; }

use Test::Nginx;
use Test::OIDC;

select STDERR; $| = 1;
select STDOUT; $| = 1;

# Where a directive belongs that opens an example; all others stand in a location.
my %level = (
    (map { $_ => 'main' } qw/ events http load_module /),
    (map { $_ => 'http' } qw/ server map upstream oidc_provider oidc_state_zone log_format include resolver /),
    (map { $_ => 'server' } qw/ location listen server_name /),
);

my $top = "$FindBin::Bin/..";
my @examples = map { examples_of($_) } 'README.md', map { s{^\Q$top/}{}r } sort glob "$top/docs/*.md";

my $t = Test::Nginx->new()->has(qw/http http_ssl map proxy rewrite/)->plan(3 + @examples);

certificate_authority($t, 'ca')->issue('site');

provider($t, 8081, client_id => 'unique_id', client_secret => 'unique_secret');
$t->write_file_expand('nginx.conf', complete(localize($t, with_parties($examples[0]{text}))));
$t->run;
like(login('/')->{body}, qr/user=alice/, 'the smallest configuration of README.md logs in');

cmp_ok(scalar @examples, '>', 10, 'the pages have examples');
like(verdict($t, "auth_oidc nobody;\n"), qr/unknown oidc_provider "nobody"/, 'a wrong example is refused');

is(verdict($t, $_->{text}), '', "$_->{place} is taken") for @examples;

# The provider of the test, and an application that says whom it was told.
sub with_parties {
    my ($text) = @_;

    my $application = "server {\nlisten 127.0.0.1:8083;\nreturn 200 \"user=\$http_username\";\n}\n";
    return $text =~ s{https://accounts\.example\.com}{http://127.0.0.1:8081}r =~ s/^\}\n/$application}\n/mr;
}

# The blocks that a page marks as nginx's, with the indent of lists taken away.
sub examples_of {
    my ($page) = @_;

    open my $in, '<', "$top/$page" or die "$page: $!\n";
    my (@found, $indent);
    while (my $line = <$in>) {
        if ($line =~ /^(\s*)```nginx$/) {
            $indent = $1;
            push @found, { place => "$page:$.", text => '' };
        }
        elsif (defined $indent && $line =~ /^\s*```$/) {
            undef $indent;
        }
        elsif (defined $indent) {
            $found[-1]{text} .= $line =~ s/^$indent//r;
        }
    }
    return @found;
}

# What nginx has against an example; nothing where it is taken.
sub verdict {
    my ($t, $example) = @_;

    $t->write_file_expand('nginx.conf', complete(localize($t, $example)));
    my $said = $t->dump_config;
    return '' if $said =~ /test is successful/;
    return $said =~ /\[emerg\] (?:\d+#\d+: )?(.*)/ ? $1 : "nginx said: $said";
}

# Ports that are free, files that exist; the module is loaded already.
sub localize {
    my ($t, $text) = @_;

    my $dir = $t->testdir;
    $text =~ s/^\s*load_module [^;]*ngx_http_oidc_module\.so;//mg;
    $text =~ s/\blisten( +)443 ssl/listen${1}127.0.0.1:8443 ssl/g;
    $text =~ s/\blisten( +)80\b/listen${1}127.0.0.1:8080/g;
    $text =~ s{\b(ssl_certificate|ssl_trusted_certificate)( +)/\S+;}{$1$2$dir/site.crt;}g;
    $text =~ s{\b(ssl_certificate_key)( +)/\S+;}{$1$2$dir/site.key;}g;
    $text =~ s{\b(session_key|client_secret_file)( +)(/\S+);}{"$1$2" . secret_file($t, $3) . ';'}ge;
    $text =~ s{\baccess_log( +)/\S+}{access_log${1}$dir/access.log}g;
    $text =~ s{\b127\.0\.0\.1:3000\b}{127.0.0.1:8083}g;
    return $text;
}

sub secret_file {
    my ($t, $path) = @_;

    mkpath($t->testdir . dirname($path));
    $t->write_file($path, '0123456789abcdef' x 4 . "\n");
    return $t->testdir . $path;
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

# The blocks that an example uses and does not show.
sub providers_for {
    my ($text) = @_;

    my %shown = map { $_ => 1 } $text =~ /\boidc_provider (\w+)/g;
    my %used = map { $_ => 1 } grep { !/^(?:off|nobody)$/ } $text =~ /\bauth_oidc +(\w+);/g;
    return join '', map { "oidc_provider $_ { issuer https://op.example.com; client_id client; }\n" }
        grep { !$shown{$_} } sort keys %used;
}

# The outermost of an example's own directives; a location where none is known.
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
