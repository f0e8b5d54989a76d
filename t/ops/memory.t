#!/usr/bin/perl

# Tests for memory: a worker that serves logged-in users, logins and refusals
# does not grow.

use warnings;
use strict;

use Test::More;
use FindBin;

BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use Test::Nginx;
use Test::OIDC;
use IO::Socket::INET;

select STDERR; $| = 1;
select STDOUT; $| = 1;

plan(skip_all => 'reads /proc') unless -r "/proc/$$/statm";
plan(skip_all => 'a sanitizer keeps freed memory')
	if slurp($ENV{TEST_NGINX_BINARY} // '/dev/null') =~ /asan/;

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(5);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', <<'EOF');

%%TEST_GLOBALS%%

daemon off;
worker_processes 1;

events {
}

error_log %%TESTDIR%%/quiet.log crit;

http {
    %%TEST_GLOBALS_HTTP%%

    access_log off;
    keepalive_requests 1000000;

    oidc_provider corp {
        issuer        "http://127.0.0.1:8081";
        client_id     "client";
        client_secret "secret-of-at-least-thirty-two-bytes";
    }

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        auth_oidc  corp;
        add_header X-User $oidc_claim_sub;

        location / {
            alias %%TESTDIR%%/;
        }
    }
}

EOF

$t->write_file('page', 'page');
$t->run();

my $browser = login('/page')->{browser};
my $cookie = 'NGX_OIDC_SESSION=' . $browser->cookie('NGX_OIDC_SESSION');

# Growth is what the second half adds: the first fills caches and free lists.

is(growth($t, sub { pages($cookie) }), 0, 'logged-in requests');
is(growth($t, sub { pages('NGX_OIDC_SESSION=forged') }), 0,
	'requests without a session');
is(growth($t, sub { login('/page') for 1 .. 60 }), 0, 'logins');

$op->set(id_token => { claims => { aud => 'another' } });
is(growth($t, sub { login('/page') for 1 .. 60 }), 0, 'refused logins');

$op->set(respond => { '/token' => { close => 'mid_body' } });
is(growth($t, sub { login('/page') for 1 .. 60 }), 0, 'broken logins');

###############################################################################

# Pages of memory; fewer than 64, a quarter of a megabyte, count as none.

sub growth {
	my ($t, $work) = @_;
	$work->();
	my $before = resident($t);
	$work->();
	my $grown = resident($t) - $before;
	return $grown < 64 ? 0 : "$grown pages";
}

sub resident {
	my ($t) = @_;
	my $master = $t->read_file('nginx.pid');
	chomp $master;
	my ($worker) = split /\s+/, slurp("/proc/$master/task/$master/children");
	return (split / /, slurp("/proc/$worker/statm"))[1];
}

sub slurp {
	my ($name) = @_;
	open my $file, '<', $name or die "$name: $!";
	local $/;
	return <$file>;
}

# Pipelined over one connection, a hundred at a time.

sub pages {
	my ($cookie) = @_;
	my $s = IO::Socket::INET->new(
		PeerAddr => '127.0.0.1:' . port(8080), Proto => 'tcp')
		or die "connect: $!";
	my $request = "GET /page HTTP/1.1\r\nHost: localhost\r\n"
		. "Cookie: $cookie\r\n\r\n";

	for (1 .. 50) {
		$s->syswrite($request x 100);
		my ($seen, $answers) = ('', 0);
		while ($answers < 100) {
			$s->sysread(my $bytes, 65536) or die "read: $!";
			$seen .= $bytes;
			$answers = () = $seen =~ m!HTTP/1\.1 \d!g;
		}
	}
}

###############################################################################
