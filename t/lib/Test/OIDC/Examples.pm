package Test::OIDC::Examples;

# The examples of README.md and docs/ in a form that a test can load: with free ports, and with the files
# they name in the test's directory.

use warnings;
use strict;

use File::Basename qw/ dirname /;
use File::Path qw/ mkpath /;

our @EXPORT_OK = qw/ example_file examples_of localize /;
use base qw/ Exporter /;

our $top = dirname(__FILE__) . '/../../../..';

# The blocks that a page marks as nginx's, or another kind's, without the indent of lists; each with the heading
# above it.
sub examples_of {
    my ($page, $kind) = @_;

    $kind //= 'nginx';
    open my $in, '<', "$top/$page" or die "$page: $!\n";
    my (@found, $indent, $heading);
    while (my $line = <$in>) {
        $heading = $1 if !defined $indent && $line =~ /^#+ (.*\S)/;
        if ($line =~ /^(\s*)```$kind$/) {
            $indent = $1;
            push @found, { where => "$page:$.", heading => $heading, text => '' };
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

# Free ports, existing files; without load_module, since the module is loaded already.
sub localize {
    my ($t, $text) = @_;

    my $dir = $t->testdir;
    $text =~ s/^\s*load_module [^;]*ngx_http_oidc_module\.so;//mg;
    $text =~ s/\blisten( +)443 ssl/listen${1}127.0.0.1:8443 ssl/g;
    $text =~ s/\blisten( +)80\b/listen${1}127.0.0.1:8080/g;
    $text =~ s{\b((?:ssl|ssl_trusted|client)_certificate)( +)/\S+;}{$1$2$dir/site.crt;}g;
    $text =~ s{\b((?:ssl|client)_certificate_key|client_key)( +)/\S+;}{$1$2$dir/site.key;}g;
    $text =~ s{\b(session_key|client_secret_file)( +)(/\S+);}{"$1$2" . example_file($t, $3) . ';'}ge;
    $text =~ s{\baccess_log( +)/\S+}{access_log${1}$dir/access.log}g;
    $text =~ s{\b(auth_basic_user_file)( +)/\S+;}{$1$2$dir/passwords;}g;
    $text =~ s{\bproxy_cache_path( +)/\S+}{proxy_cache_path${1}$dir/cache}g;
    $text =~ s{\b127\.0\.0\.1:3000\b}{127.0.0.1:8083}g;
    return $text;
}

# A file that an example names: as a test has written it, or a secret.
sub example_file {
    my ($t, $path, $content) = @_;

    my $file = $t->testdir . $path;
    mkpath(dirname($file));
    $t->write_file($path, $content // '0123456789abcdef' x 4 . "\n") if defined $content || !-e $file;
    return $file;
}

1;
