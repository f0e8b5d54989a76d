#!/usr/bin/perl

# Tests for the names of directives that another module may have as well: a loaded module that has one of them keeps it,
# in whichever order the modules are loaded. The other module is compiled here.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::OIDC;
use Test::OIDC::Site qw/ main_conf /;

my ($build) = ($ENV{TEST_NGINX_GLOBALS} // '') =~ m{load_module (\S+)/ngx_http_oidc_module\.so};
my ($objs) = grep { -e "$_/ngx_auto_config.h" } map { "$_/debian/objs" } $build // ();
plan(skip_all => 'no configured tree of nginx') unless $objs;

my $t = Test::Nginx->new()->has(qw/http/)->plan(9);

my $dir = $t->testdir;
my $tree = "$objs/../tree/src";
$t->write_file('other.c', <<'EOF');
#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

static char *take(ngx_conf_t *cf, ngx_command_t *command, void *conf)
{
    ngx_conf_log_error(NGX_LOG_NOTICE, cf, 0, "other has %V", &command->name);
    return NGX_CONF_OK;
}

static ngx_command_t commands[] = {
    { ngx_string("keyval_zone"), NGX_HTTP_MAIN_CONF | NGX_CONF_ANY, take, 0, 0, NULL },
    { ngx_string("auth_require"), NGX_HTTP_MAIN_CONF | NGX_CONF_ANY, take, 0, 0, NULL },
    ngx_null_command
};

static ngx_http_module_t context = { NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL };

ngx_module_t ngx_http_other_module = {
    NGX_MODULE_V1, &context, commands, NGX_HTTP_MODULE,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NGX_MODULE_V1_PADDING
};

ngx_module_t *ngx_modules[] = { &ngx_http_other_module, NULL };
char *ngx_module_names[] = { "ngx_http_other_module", NULL };
char *ngx_module_order[] = { NULL };
EOF

my @include = map { "-I$tree/$_" } qw{ core event event/modules os/unix http http/modules http/v2 };
system('cc', '-shared', '-fPIC', '-w', @include, "-I$objs", '-o', "$dir/other.so", "$dir/other.c") == 0
    or die "the other module does not compile\n";

my $theirs = 'keyval_zone anything; auth_require anything;';
my $ours = 'auth_jwt_claim_set $roles roles; server { auth_jwt off; auth_oidc_require $host; }';

is(refused('', $ours), '', 'without the other module: names of the compatible directives');
like(refused('', 'keyval_zone anything;'), qr/^invalid "keyval_zone" "anything"/, 'without the other module: keyval_zone is ours');
like(refused('', 'auth_require anything;'), qr/^invalid "auth_require" "anything"/, 'without the other module: auth_require is ours');

for my $order ('before', 'after') {
    is(refused($order, "$theirs $ours"), '', "the other module is loaded $order: its names are its own");
}

# Each reload decides again.

write_conf('', $ours);
$t->run();
for my $case (['other', 'before', "$theirs $ours", ''], ['other', 'after', "$theirs $ours", ''], ['none', '', $ours, '']) {
    my ($modules, $order, $http, $says) = @$case;
    write_conf($order, $http);
    log_mark($t);
    $t->reload;
    ok(log_has($t, qr/gracefully shutting down/), "a reload with $modules: accepted");
}
is(join('', error_log_lines($t, qr/\[emerg\]/)), '', 'no reload was refused');

# ------------------------------------------------------------------------------------------------------

sub refused {
    my ($order, $http) = @_;

    return config_error($t, conf($order, $http));
}

sub write_conf { $t->write_file_expand('nginx.conf', conf(@_)) }

sub conf {
    my ($order, $http) = @_;

    my $conf = main_conf('', $http =~ s/server \{/server { listen 127.0.0.1:8080;/r);
    my $load = "load_module $dir/other.so;";
    $conf =~ s/^/$load\n/ if $order eq 'before';
    $conf =~ s/^daemon off;/$load\ndaemon off;/m if $order eq 'after';
    return $conf;
}
