#!/usr/bin/perl

# Tests for a module that was built for an nginx of the same version with other structures: nginx does not start. The
# module is linked again, with the one file that compares them compiled with changed headers.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use File::Temp qw/ tempdir /;
use FindBin;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my $dir = tempdir('oidc-layout-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $nginx = $ENV{TEST_NGINX_BINARY} // '/usr/sbin/nginx';

my ($built) = ($ENV{TEST_NGINX_GLOBALS} // '') =~ m{load_module\s+(/\S+)/ngx_http_oidc_module\.so;};
my ($folder) = grep { -e "$_/objs/ngx_auto_config.h" } $built // '', ($built // '') . '/debian';

plan(skip_all => 'no folder of a module that was built') unless $folder;
plan(skip_all => 'a sanitized module') if $folder =~ /-sanitize/;
plan(tests => 4);

my $connection = header('core/ngx_connection.h');
$connection =~ s/^ +unsigned +pipeline:1;\n//m or $connection =~ s/^(.*\bdestroyed:1;\n)/$1    unsigned pipeline:1;\n/m;
like(loaded('ngx_connection.h', $connection), refusal('ngx_connection_t'), 'a bit more or less in ngx_connection_t');

my $request = header('http/ngx_http_request.h');
$request =~ s/^(.*\bgzip_tested:1;\n)/    unsigned patched:1;\n$1/m;
like(loaded('ngx_http_request.h', $request), refusal('ngx_http_request_t'), 'a bit more in ngx_http_request_t');

$request =~ s/^ +unsigned patched:1;\n//m;
$request =~ s/^( +ngx_pool_t +\*pool;\n)/$1    void *patched;\n/m;
like(loaded('ngx_http_request.h', $request), refusal('ngx_http_request_t'), 'a pointer more in ngx_http_request_t');

is(loaded('ngx_http_request.h', header('http/ngx_http_request.h')), '', 'the headers of this nginx');

sub refusal {
    my ($name) = @_;

    return qr/\[emerg\] .* the OIDC module was built for another nginx [\d.]+, whose \Q$name\E differs: /;
}

# What nginx says when it loads the module whose comparison was compiled with this header.
sub loaded {
    my ($name, $text) = @_;

    put($name, $text);
    my $include = join ' ', "-I $dir", "-I $top/src", map { "-I $_" }
        "$folder/objs", map { "$folder/tree/src/$_" } qw{ core event event/modules os/unix http http/modules http/v2 };
    my @objects = grep { !m{/layout\.o$} } glob "$folder/objs/addon/*/*.o $folder/objs/ngx_http_oidc_module_modules.o";
    system("c++ -std=c++20 -fPIC $include -c $top/src/ngx/layout.cpp -o $dir/layout.o && "
        . "c++ -shared -s -o $dir/module.so $dir/layout.o @objects -lcjose -ljansson -lhiredis") == 0
        or return 'not compiled';

    put('nginx.conf', <<"END");
load_module $dir/module.so;
pid $dir/nginx.pid;
error_log stderr error;

events {
}

http {
}
END
    unlink "$dir/$name";
    return `$nginx -t -q -c $dir/nginx.conf 2>&1`;
}

sub header {
    my ($name) = @_;

    local $/;
    open my $in, '<', "$folder/tree/src/$name" or die "$name: $!\n";
    return <$in>;
}

sub put {
    my ($name, $text) = @_;

    open my $out, '>', "$dir/$name" or die "$name: $!\n";
    print $out $text;
    close $out or die "$name: $!\n";
}
