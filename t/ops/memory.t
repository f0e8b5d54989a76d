#!/usr/bin/perl

# Tests for memory: the memory of a worker that serves requests of users, logins and refusals
# does not grow.

use FindBin;
BEGIN { push @INC, "$FindBin::Bin/../lib"; }

use IO::Socket::INET;

use Test::OIDC;
use Test::OIDC::Site qw/ default_provider main_conf /;

plan(skip_all => 'reads /proc') unless -r "/proc/$$/statm";
plan(skip_all => 'a sanitizer keeps freed memory')
	if slurp($ENV{TEST_NGINX_BINARY} // '/dev/null') =~ /asan/;

my $t = Test::Nginx->new()->has(qw/http rewrite/)->plan(5);

my $op = provider($t, 8081);

$t->write_file_expand('nginx.conf', main_conf(<<'MAIN', default_provider('corp'), <<'EOF'));
worker_processes 1;
error_log %%TESTDIR%%/quiet.log crit;
MAIN
    access_log off;
    keepalive_requests 1000000;

    server {
        listen       127.0.0.1:8080;
        server_name  localhost;

        auth_oidc  corp;
        add_header X-User $oidc_claim_sub;

        location / {
            alias %%TESTDIR%%/;
        }
    }
EOF

$t->write_file('page', 'page');
$t->run();

my $browser = login('/page')->{browser};
my $cookie = 'NGX_OIDC_SESSION=' . $browser->cookie('NGX_OIDC_SESSION');

# Only growth in the second half counts: the first half fills caches and free lists.

is(growth($t, sub { pages($cookie) }), 0, 'logged-in requests');
is(growth($t, sub { pages('NGX_OIDC_SESSION=forged') }), 0,
	'requests without a session');
is(growth($t, sub { login('/page') for 1 .. 60 }), 0, 'logins');

$op->set(id_token => { claims => { aud => 'another' } });
is(growth($t, sub { login('/page') for 1 .. 60 }), 0, 'refused logins');

$op->set(respond => { '/token' => { close => 'mid_body' } });
is(growth($t, sub { login('/page') for 1 .. 60 }), 0, 'broken logins');

###############################################################################

# Pages of memory; growth of fewer than 64, a quarter of a megabyte, counts as 0.

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

# Pipelined over one connection, a hundred requests at a time.

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
