#!/usr/bin/perl

# Tests for the Makefile, config and config.make: which nginx a module was built for, compilers, OpenSSL, install and
# uninstall. The source tree of nginx here is a small one, and the module is one constant.

use warnings;
use strict;

use Cwd qw/ abs_path /;
use File::Copy qw/ copy /;
use File::Path qw/ make_path /;
use File::Temp qw/ tempdir /;
use FindBin;
use Test::More;

my $top = abs_path("$FindBin::Bin/../..");
my $dir = tempdir('oidc-build-XXXXXX', TMPDIR => 1, CLEANUP => 1);
my $module = 'ngx_http_oidc_module.so';

# The sanitized module is linked with other libraries.
plan(skip_all => 'a sanitized module') if ($ENV{TEST_NGINX_GLOBALS} // '') =~ /-sanitize/;
plan(skip_all => 'no compiler') if system('cc --version >/dev/null 2>&1 && make --version >/dev/null 2>&1');

# Settings of the make that runs this test
delete @ENV{qw/ MAKEFLAGS MAKELEVEL MAKEOVERRIDES MFLAGS NGINX_SRC STATIC BUILD CC CXX cc_opt cxx_flags DESTDIR /};

make_path("$dir/$_") for qw{ project/src/core project/t };
copy("$top/$_", "$dir/project/$_") or die "$_: $!" for qw{ Makefile config config.make src/exports.map };
put('project/t/deps', "#!/bin/sh\n", 0755);
put('project/src/core/one.cpp', <<'END');
#include "nginx.h"

#ifdef NOTED
#undef NOTE
#define NOTE "noted"
#endif

extern const char built_for[];
const char built_for[] = "built for " NGINX_VERSION ", " NOTE;
END

# Debian's nginx-dev

nginx_tree('debian');
like(make(), qr{^built build/\Q$module\E$}m, 'the module is built');
is(built_for(), 'built for 1.2.3, first', 'for nginx-dev');
unlike(make(), qr/built/, 'a second make builds nothing');

header('debian', '1.2.3', 'patched');
unlink "$dir/debian/src/core/old.h" or die;
make();
is(built_for(), 'built for 1.2.3, patched', 'an upgrade of the same version is noticed');
ok(!-e "$dir/project/build/debian/tree/src/core/old.h", 'files that it removed are gone');

header('debian', '1.2.4', 'patched');
make();
is(built_for(), 'built for 1.2.4, patched', 'another version is noticed');

make(q{cc_opt="-DNOTED='1'"});
is(built_for(), 'built for 1.2.4, noted', 'other flags are noticed');

# Other trees

nginx_tree('a/nginx');
nginx_tree('b/nginx');
header('b/nginx', '1.2.3', 'of b');

my $a = "NGINX_SRC=$dir/a/nginx";
my $b = "NGINX_SRC=$dir/b/nginx";
my $path = "build/nginx/$module";

like(make($a), qr/^built \Q$path\E$/m, 'a tree: the documented path is printed');
is(built_for($path), 'built for 1.2.3, first', 'a tree: the module is there');
make($b);
is(built_for($path), 'built for 1.2.3, of b', 'another tree of the same name');
unlike(make($a), qr/built/, 'the first tree again: nothing is built');
is(built_for($path), 'built for 1.2.3, first', 'the first tree again: its module');

header('a/nginx', '1.2.4', 'replaced');
make("$a $path");
is(built_for($path), 'built for 1.2.4, replaced', 'a tree replaced in place');
header('a/nginx', '1.2.4', 'patched');
make("$a $path");
is(built_for($path), 'built for 1.2.4, patched', 'a tree patched in place');
is(built_for(), 'built for 1.2.4, noted', 'the module for nginx-dev is another one');
like(make("NGINX_SRC=$dir"), qr/^\Q$dir\E holds no nginx source$/m, 'a directory without nginx');

# Install

my @installed = map { "root/$_" } "usr/lib/nginx/modules/$module",
    'usr/share/nginx/modules-available/mod-http-oidc.conf', 'etc/nginx/modules-enabled/50-mod-http-oidc.conf';

put('root/etc/nginx/modules-enabled/50-mod-other.conf', '');
make("install DESTDIR=$dir/root");
is_deeply([files('root')], [sort @installed, 'root/etc/nginx/modules-enabled/50-mod-other.conf'], 'install');
is(get($installed[1]), "load_module modules/$module;\n", 'install: the load_module line');
is(readlink "$dir/$installed[2]", '/usr/share/nginx/modules-available/mod-http-oidc.conf', 'install: the link to it');
make("uninstall DESTDIR=$dir/root");
is_deeply([files('root')], ['root/etc/nginx/modules-enabled/50-mod-other.conf'], 'uninstall');
like(make("uninstall DESTDIR=$dir/root"), qr/^uninstalled/m, 'uninstall again');

SKIP: {
    my ($built) = ($ENV{TEST_NGINX_GLOBALS} // '') =~ /load_module\s+(\S*\Q$module\E);/;
    skip 'no module, or not Debian 12', 1
        unless $built && get('/etc/os-release') =~ /^PRETTY_NAME="Debian GNU\/Linux 12 /m;

    my ($page) = get("$top/docs/install.md") =~ /^A machine that only runs the module(.*?)\n\n/ms;
    my @missing = grep { index($page, $_) < 0 } map { package_of($_) } `objdump -p $built` =~ /NEEDED\s+(\S+)/g;
    is("@missing", '', 'install.md has every library of the module');
}

# OpenSSL

my $refusal = qr/requires OpenSSL 3\.0 or later/;

put('old/include/openssl/opensslv.h', "#define OPENSSL_VERSION_NUMBER 0x1010117fL\n");
put('libressl/openssl/opensslv.h', "#define OPENSSL_VERSION_NUMBER 0x20000000L\n");
put('new/VERSION.dat', "MAJOR=3\n");
like(make("cc_opt=-I$dir/old/include"), $refusal, 'OpenSSL 1.1 is refused');
like(make("cc_opt=-I$dir/libressl"), $refusal, 'LibreSSL is refused');
put('debian/conf_flags', "NGX_CONF_FLAGS=( --with-openssl=$dir/old )\n");
like(make(), $refusal, 'the source of OpenSSL 1.1 is refused');
put('debian/conf_flags', "NGX_CONF_FLAGS=( --with-openssl=$dir/new )\n");
like(make(), qr/^built/m, 'the source of OpenSSL 3.0 is accepted');

# Compilers

like(get('project/build/debian/objs/Makefile'), qr/-lstdc\+\+ .*-Wno-maybe-uninitialized/s, 'gcc: its warnings, and libstdc++');
SKIP: {
    skip 'no clang', 2 if system('clang --version >/dev/null 2>&1');

    like(make('CC=clang'), qr/^built/m, 'clang: no warning');

    # <version> of libc++ defines the macro.
    put('libcxx/version', "#define _LIBCPP_VERSION 1\n");
    make("CC=clang cxx_flags=-I$dir/libcxx");
    like(get('project/build/debian/objs/Makefile'), qr/ -lc\+\+ /, 'libc++ is linked if the compiler uses it');
}

# The library of nginx's test suite

put('nginx', <<'END', 0755);
#!/bin/sh
echo "$@" --with-stream=dynamic --with-http_ssl_module --with-http_perl_module=dynamic --with-threads >&2
exit 3
END
make("binary=$dir/nginx build/debian/nginx");
is(`$dir/project/build/debian/nginx -V 2>&1`, "-V --with-http_ssl_module --with-threads\n",
    'tests: nginx -V without dynamic modules');
is(`$dir/project/build/debian/nginx -t -c f 2>&1`,
    "-t -c f --with-stream=dynamic --with-http_ssl_module --with-http_perl_module=dynamic --with-threads\n",
    'tests: other calls of nginx are unchanged');
is($? >> 8, 3, 'tests: their status as well');

done_testing();

# Runs make in the project and returns its output.
sub make {
    my ($arguments) = @_;

    $arguments //= '';
    my $output = `make -C $dir/project --no-print-directory debian=$dir/debian $arguments 2>&1`;
    diag($output) if $ENV{TEST_NGINX_VERBOSE};
    return $output;
}

# The constant in a built module
sub built_for {
    my ($file) = @_;

    my ($text) = get('project/' . ($file // "build/$module")) =~ /(built for [^\0]+)/;
    return $text;
}

# A source tree with a configure that does what config and config.make rely on
sub nginx_tree {
    my ($tree) = @_;

    header($tree, '1.2.3', 'first');
    put("$tree/src/core/old.h", '');
    put("$tree/auto/module", '');
    put("$tree/auto/feature", <<'END');
ngx_found=no
printf '%s\nint main(void) { %s; return 0; }\n' "$ngx_feature_incs" "$ngx_feature_test" \
    | $CC $NGX_CC_OPT ${ngx_feature_path:+-I $ngx_feature_path} -x c -fsyntax-only - 2>> $NGX_AUTOCONF_ERR &&
    ngx_found=yes
END
    put("$tree/configure", <<'END', 0755);
#!/bin/sh
CC=${CC:-cc} OPENSSL=NONE HTTP_SSL=YES ngx_module_link=DYNAMIC
for option; do
    value=${option#*=}
    case $option in
        --with-cc=*) CC=$value ;;
        --with-cc-opt=*) NGX_CC_OPT=$value ;;
        --with-openssl=*) OPENSSL=$value ;;
        --add-dynamic-module=*) ngx_addon_dir=$value ;;
        --builddir=*) NGX_OBJS=$value ;;
    esac
done
mkdir -p $NGX_OBJS/addon/core
NGX_AUTOCONF_ERR=$NGX_OBJS/autoconf.err
NGX_MAKEFILE=$NGX_OBJS/Makefile
case $($CC -v 2>&1) in *'gcc version'*) NGX_CC_NAME=gcc ;; *) NGX_CC_NAME=clang ;; esac
. $ngx_addon_dir/config
cat > $NGX_MAKEFILE << MAKEFILE
CFLAGS = -fPIC -Wall -Wextra -Werror -Isrc/core $NGX_CC_OPT
modules: $NGX_OBJS/$ngx_module_name.so
$NGX_OBJS/$ngx_module_name.so: $NGX_OBJS/addon/core/one.o # $ngx_module_libs
	$CC -shared -o \$@ \$<
$NGX_OBJS/addon/core/one.o: $ngx_module_srcs
	$CC \$(CFLAGS) -c -o \$@ \$<
MAKEFILE
. $ngx_addon_dir/config.make
END
}

# A header as a package has it: older than everything that was built.
sub header {
    my ($tree, $version, $note) = @_;

    put("$tree/src/core/nginx.h",
        qq{#define NGINX_VERSION "$version"\n#define NOTE "$note"\n});
    utime 1, 1, "$dir/$tree/src/core/nginx.h" or die;
}

sub package_of {
    my ($library) = @_;

    # Packages of another architecture have no multiarch directory.
    my ($package) = `dpkg-query -S '*/$library' 2>/dev/null` =~ m{^([^:\n]+):\w+: (?:/usr)?/lib/[\w-]+-gnu\w*/\Q$library\E$}m;
    return $package // $library;
}

sub files {
    my ($tree) = @_;

    return sort map { s{^\Q$dir\E/}{}r } split /\n/, `find $dir/$tree -type f -o -type l`;
}

sub put {
    my ($name, $text, $mode) = @_;

    my $file = "$dir/$name";
    make_path($file =~ m{^(.*)/});
    open my $out, '>', $file or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
    chmod $mode, $file if $mode;
}

sub get {
    my ($name) = @_;

    local $/;
    open my $in, '<:raw', $name =~ m{^/} ? $name : "$dir/$name" or return '';
    return <$in>;
}
