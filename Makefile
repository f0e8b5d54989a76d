# The developer's entry point: `make help` lists the targets.
#
#   NGINX_SRC=dir   build against this nginx source tree, and nginx with it
#   STATIC=1        with NGINX_SRC: link the module into nginx
#   BUILD=sanitize  with AddressSanitizer and UndefinedBehaviorSanitizer

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-builtin-rules --no-print-directory

jobs    := $(shell nproc)
ccache  := $(shell command -v ccache)

# Goals are made side by side; a make within shares the jobs of the outer one.
ifeq ($(MAKELEVEL)$(filter clean,$(MAKECMDGOALS)),0)
MAKEFLAGS += -j$(shell expr 1 + $(jobs))
endif

top     := $(CURDIR)
debian  := /usr/share/nginx/src
sources := $(wildcard src/*/*.cpp)
headers := $(wildcard src/*/*.h)

optimize   := -O2 -g -fstack-protector-strong -Wformat -Werror=format-security
sanitizers := -fsanitize=address,undefined -fno-sanitize-recover=undefined \
              -fno-omit-frame-pointer
# A check of each pointer takes a third of the time to compile. AddressSanitizer
# reports what a null pointer leads to; "make fuzz" checks both.
unchecked  := -fno-sanitize=null,alignment
# For the folders without nginx, whose own headers do not pass them.
warnings   := -Wextra -Wunused-parameter -Wconversion -Wno-sign-conversion

# Reports need lines, not variables; -O1 takes twice as long to compile as -Og.
ifeq ($(BUILD),sanitize)
flavour   := -sanitize
cc_opt    := -g1 -Og
ld_opt    :=
cxx_flags := $(sanitizers) $(unchecked)
libs      := $(sanitizers)
else ifeq ($(BUILD),)
cc_opt    := $(optimize) -D_FORTIFY_SOURCE=2
ld_opt    := -Wl,-z,relro -Wl,-z,now
else
$(error BUILD is "sanitize" or nothing, not "$(BUILD)")
endif

options = --with-compat --with-debug --with-threads --with-http_ssl_module \
          --with-http_v2_module --with-http_realip_module \
          --with-http_auth_request_module --with-http_stub_status_module \
          $(if $(wildcard $(tree)/src/http/v3),--with-http_v3_module)
flags   = CC=$(CC) cc_opt=$(cc_opt) ld_opt=$(ld_opt) $(cxx_flags) $(libs)
origin  = '$(subst ','\'',$(tree) $(options) $(flags))'

# A source tree has a folder named after its path, its version and the configure
# line. build/NAME is a link to the folder of the last make.
ifeq ($(NGINX_SRC),)
tree := $(debian)
name := build/debian$(flavour)
out  := $(name)
else
tree    := $(abspath $(NGINX_SRC))
version := $(shell sed -nE 's/^.define (NGINX|ANGIE)_VERSION[ \t]+"(.*)"/\2/p' \
               $(tree)/src/core/nginx.h $(tree)/src/core/angie.h 2>/dev/null)
key     := $(shell echo $(version) $(origin) | sha256sum | cut -c 1-8)
name    := build/$(notdir $(tree))$(if $(STATIC),-static)$(flavour)
out     := $(name)-$(key)
ifneq ($(version),)
$(shell mkdir -p $(out); [ -L $(name) ] || rm -rf $(name); \
    [ "$$(readlink $(name))" = $(notdir $(out)) ] || ln -sfn $(notdir $(out)) $(name))
endif
$(name)/%: $(out)/% ;
endif

module := $(if $(NGINX_SRC)$(BUILD),$(out)/,build/)ngx_http_oidc_module.so
goal   := $(if $(STATIC),$(out)/objs/nginx,$(module))

# Of the sanitized module for the installed nginx; tests link them, too.
sanitized := build/debian-sanitize/objs

.PHONY: build
build: $(goal)    ## the module for the installed nginx, build/ngx_http_oidc_module.so

.PHONY: help
help:             ## this list
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' Makefile | expand -t 14

# nginx's configure writes into the tree it stands in: give it a copy.

.PHONY: deps
deps:
	@$(if $(NGINX_SRC),,t/deps build)

# It changes when a file is added or removed, not when one is edited.
$(out)/sources: FORCE
	@mkdir -p $(@D)
	@echo $(sources) | cmp -s - $@ || echo $(sources) > $@

# It changes when nginx is replaced or upgraded in place, or configured differently.
$(out)/origin: FORCE | deps
	@mkdir -p $(@D)
	@test -e $(tree)/src/core/nginx.h || \
	    { echo "$(tree) holds no nginx source" >&2; exit 1; }
	@origin=$$(cd $(tree); { echo $(origin); \
	    find $$(ls -d auto configure conf_flags src 2>/dev/null || :) -type f -print0 | \
	    sort -z | xargs -0 sha256sum; } | sha256sum); \
	echo "$$origin" | cmp -s - $@ || echo "$$origin" > $@

.PHONY: FORCE
FORCE:

$(out)/configured: config config.make $(out)/sources $(out)/origin Makefile | deps
	@rm -rf $(out)/tree $(out)/objs
	@mkdir -p $(out)/tree
	@cp -r $(tree)/. $(out)/tree/
	@cd $(out)/tree && configure=./configure && \
	[ -x configure ] || configure=auto/configure; \
	if [ -e conf_flags ]; then . ./conf_flags; \
	else NGX_CONF_FLAGS=($(options) --prefix=$(top)/$(out)/prefix); fi; \
	OIDC_CXXFLAGS="$(cxx_flags)" OIDC_WARNINGS="$(warnings)" OIDC_LIBS="$(libs)" \
	    OIDC_DEPFILES=yes $$configure "$${NGX_CONF_FLAGS[@]}" \
	    $(if $(ccache),--with-cc="$(ccache) $(CC)") \
	    --with-cc-opt="$(cc_opt)" --with-ld-opt="$(ld_opt)" \
	    --add-$(if $(STATIC),,dynamic-)module=$(top) \
	    --builddir=$(top)/$(out)/objs > ../configure.log 2>&1 || \
	{ tail -n 20 ../configure.log >&2; exit 1; }
	@touch $@

ifeq ($(STATIC),)
$(out)/objs/ngx_http_oidc_module.so: $(out)/configured $(headers) $(sources)
	@$(MAKE) -C $(out)/tree -f $(top)/$(out)/objs/Makefile -s modules

$(module): $(out)/objs/ngx_http_oidc_module.so
	@cp $< $@.new && mv $@.new $@ && echo "built $(@:$(out)/%=$(name)/%)"
endif

ifneq ($(NGINX_SRC),)
$(out)/objs/nginx: $(out)/configured $(headers) $(sources)
	@$(MAKE) -C $(out)/tree -f $(top)/$(out)/objs/Makefile -s binary
	@[ -e $@ ] || ln -s angie $@    # that is its name there
	@mkdir -p $(out)/prefix/logs && echo "built $(@:$(out)/%=$(name)/%)"
endif

# Tests. The module is compiled first: prove and the browser, which mostly wait,
# run beside what computes. That has jobs of its own, or each compiler would take
# a job before prove does.

.PHONY: test
test: deps-test   ## every test: checks, unit, replay, prove, the same sanitized, browser
	@$(MAKE) $(goal)
	@$(MAKE) prove $(if $(BUILD)$(NGINX_SRC),,browser) test-computing

.PHONY: test-computing
test-computing:
	@MAKEFLAGS=--no-print-directory $(MAKE) -j$(shell expr 1 + $(jobs)) $(MAKEOVERRIDES) $(computing)

computing = $(if $(BUILD)$(NGINX_SRC),,prove-sanitized) unit replay check

.PHONY: prove-sanitized
prove-sanitized: $(sanitized)/ngx_http_oidc_module.so
	@$(MAKE) BUILD=sanitize prove

.PHONY: deps-test
deps-test:
	@t/deps build test browser

binary := $(if $(NGINX_SRC),$(top)/$(out)/objs/nginx,/usr/sbin/nginx)
# Workers must be able to read lsan.supp wherever the checkout is.
global := $(if $(STATIC),,load_module $(top)/$(module);) \
          $(if $(BUILD),$(if $(filter 0,$(shell id -u)),user root;))

# The longest first, so that none is left alone at the end.
longest := $(wildcard $(patsubst %,t/*/%.t,store keys id_token limit memory share revocation metadata redis token userinfo))
TESTS   := $(longest) $(filter-out $(longest),$(wildcard t/*/*.t))

.PHONY: prove
prove: $(goal) $(if $(NGINX_SRC),$(out)/objs/nginx) $(out)/nginx ## t/*/*.t through real nginx (TESTS=t/login/login.t for one)
	@echo "prove: $(words $(TESTS)) files, $(binary)$(if $(BUILD),$(comma) sanitized)"
	@TEST_NGINX_BINARY=$(top)/$(out)/nginx TEST_NGINX_GLOBALS="$(global)" \
	    prove -j$$((2 * $(jobs))) $(TESTS)    # they wait half of the time

comma := ,

# What the tests run as nginx: the sanitizers' runtime must be loaded first, and
# with it the C++ one, or it finds no way to throw. The library of nginx's own test
# suite loads the dynamic modules of "nginx -V", which Debian has in other packages.
$(out)/nginx: Makefile | $(goal)
	@{ echo '#!/bin/sh'; \
	   echo 'case $$1 in -V) $(binary) -V 2>&1 | sed "s/ --with-[^ ]*=dynamic//g" >&2; exit;; esac'; \
	   $(if $(BUILD),echo 'export LD_PRELOAD="$(shell $(CC) -print-file-name=libasan.so) $(shell $(CXX) -print-file-name=libstdc++.so.6)"'; \
	   echo 'export ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1'; \
	   echo 'export UBSAN_OPTIONS=print_stacktrace=1'; \
	   echo 'export LSAN_OPTIONS=suppressions=$(top)/t/lsan.supp:print_suppressions=0';) \
	   echo 'exec $(binary) "$$@"'; } > $@
	@chmod +x $@

# Unit tests and replay link the objects of the sanitized module, those of shared
# memory the objects that ship. t/check/structure sees to it that core, jose, oidc
# and flow include nothing of nginx.
objects    = $(1:src/%.cpp=$(sanitized)/addon/%.o)
pure      := $(wildcard $(addsuffix /*.cpp,$(addprefix src/,core jose oidc flow)))
unit_cpp  := $(wildcard $(addsuffix /*.cpp,$(addprefix t/unit/,core jose oidc flow))) \
             t/unit/support/memory_store.cpp t/unit/support/play.cpp t/unit/support/signer.cpp
unit_cxx   = $(ccache) $(CXX) -std=c++20 -g1 -O0 -W -Wall $(warnings) \
             -Wno-unknown-warning-option -Wno-maybe-uninitialized \
             -Werror -Isrc -It/unit $(sanitizers) $(unchecked)

ifneq ($(out),build/debian-sanitize)
$(sanitized)/ngx_http_oidc_module.so: FORCE
	@$(MAKE) NGINX_SRC= STATIC= BUILD=sanitize $@
endif
$(call objects,$(sources)): $(sanitized)/ngx_http_oidc_module.so ;

build/unit/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	@$(unit_cxx) $(precompiled) -MMD -MP -c $< -o $@

unit_objs := $(unit_cpp:%.cpp=build/unit/%.o)

# A fifth of the time to compile a unit test goes into gtest.h. ccache keeps more
# than that, but not what includes a precompiled header.
ifeq ($(ccache),)
$(unit_objs): precompiled := -include build/unit/gtest.h
$(unit_objs): | build/unit/gtest.h.gch
endif

build/unit/gtest.h.gch: Makefile
	@mkdir -p $(@D)
	@echo '#include <gtest/gtest.h>' > $(@:.gch=)
	@$(unit_cxx) -x c++-header $(@:.gch=) -o $@

build/unit/unit: $(unit_objs) $(call objects,$(pure))
	@$(unit_cxx) $^ -lgtest -lgtest_main -lpthread -lcjose -ljansson -lcrypto -lhiredis -o $@

.PHONY: unit
unit: unit-pure unit-shared ## GoogleTest for the folders without nginx, sanitized, and for shared memory

.PHONY: unit-pure
unit-pure: build/unit/unit
	@build/unit/unit --gtest_brief=1

.PHONY: unit-shared
unit-shared: build/unit/shared
	@build/unit/shared --gtest_brief=1

# Fuzzing. Any compiler's code gets the seeds of t/fuzz; with clang, libFuzzer
# makes up more. One binary holds all targets.

fuzz_cpp  := $(wildcard t/fuzz/*.cpp) t/unit/support/memory_store.cpp t/unit/support/play.cpp t/unit/support/signer.cpp
fuzzed    := $(pure) src/ngx/http_response.cpp
fuzz_cxx  := $(ccache) clang++ -std=c++20 -g -O1 -Isrc -It/unit -D_GLIBCXX_ASSERTIONS $(sanitizers)
fuzz_libs := -lcjose -ljansson -lcrypto -lhiredis -Lbuild -lnginx -Wl,-rpath,$(top)/build

# What reads HTTP answers are nginx's own parsers: those of the installed nginx,
# whatever NGINX_SRC says. Its headers do not stand our warnings.
nginx_dirs  := core event event/modules os/unix http http/modules http/v2
nginx_cxx   := $(nginx_dirs:%=-isystem $(debian)/src/%) -isystem build/debian/objs
reply_objs  := build/unit/t/fuzz/http_reply.o build/fuzz/t/fuzz/http_reply.o build/fuzz/src/ngx/http_response.o

$(reply_objs): unit_cxx += $(nginx_cxx)
$(reply_objs): fuzz_cxx += $(nginx_cxx)
$(reply_objs): build/debian/origin | build/debian/configured

ifneq ($(out),build/debian)
build/debian/configured build/debian/objs/ngx_http_oidc_module.so: FORCE
	@$(MAKE) NGINX_SRC= BUILD= STATIC= $@
build/debian/origin: build/debian/configured ;
endif

# A package's files are older than its installation: compare what is in them.
build/libnginx.so: t/fuzz/library FORCE | build/debian/configured
	@t/fuzz/library /usr/sbin/nginx $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

build/unit/replay build/fuzz/fuzz build/unit/shared: | build/libnginx.so

# Shared memory has the allocator and the locks of the same nginx. Its variables
# are its own only for code that looks for them in their library. Workers are
# killed after each instruction, so these objects are the shipped ones.
shared_cpp  := $(wildcard t/unit/ngx/*.cpp t/unit/store/*.cpp) t/unit/support/cycle.cpp
shared_objs := $(shared_cpp:%.cpp=build/unit/%.o)
shared_src  := src/ngx/shm_table.cpp src/store/shm_sessions.cpp $(wildcard src/store/zone*.cpp) \
               $(patsubst %,src/%.cpp,core/bucket core/crypto core/encoding core/text oidc/refetch)
shipped     = $(1:src/%.cpp=build/debian/objs/addon/%.o)
$(shared_objs) build/unit/shared: unit_cxx += $(nginx_cxx) -fPIC
$(shared_objs) build/unit/shared: sanitizers :=
$(shared_objs) build/unit/shared: unchecked :=
$(shared_objs): build/debian/origin | build/debian/configured
$(call shipped,$(shared_src)): build/debian/objs/ngx_http_oidc_module.so ;

build/unit/shared: $(shared_objs) $(call shipped,$(shared_src))
	@$(unit_cxx) $(filter %.o,$^) -lgtest -lgtest_main -lpthread -lcrypto -Lbuild -lnginx -Wl,-rpath,$(top)/build -o $@

build/unit/replay: $(fuzz_cpp:%.cpp=build/unit/%.o) build/unit/t/fuzz/entry/replay.o $(call objects,$(fuzzed))
	@$(unit_cxx) $^ $(fuzz_libs) -o $@

.PHONY: replay
replay: build/unit/replay ## the seeds of t/fuzz through every fuzz target, sanitized
	@build/unit/replay t/fuzz/seeds

build/fuzz/%.o: %.cpp Makefile
	@mkdir -p $(@D)
	@$(fuzz_cxx) -fsanitize=fuzzer-no-link -MMD -MP -c $< -o $@

# The headers that each of these objects was made of.
-include $(shell find build/unit build/fuzz -name '*.d' 2>/dev/null)

build/fuzz/fuzz: $(patsubst %.cpp,build/fuzz/%.o,$(fuzz_cpp) $(fuzzed)) build/fuzz/t/fuzz/entry/libfuzzer.o
	@$(fuzz_cxx) -fsanitize=fuzzer $^ $(fuzz_libs) -o $@

fuzz: SECONDS := 60
.PHONY: fuzz
fuzz:             ## libFuzzer on every parser of foreign bytes (SECONDS=600, TARGET=json)
	@t/deps build test fuzz
	@$(MAKE) build/fuzz/fuzz
	@t/fuzz/run $(SECONDS) $(jobs) $(TARGET)

.PHONY: browser
browser: $(module) ## a real browser against the demo; screenshots in build/browser
	@t/deps browser
	@t/browser/run

.PHONY: http3
http3: $(if $(NGINX_SRC),$(goal) $(out)/objs/nginx $(out)/nginx) ## logins over HTTP/3, by a browser too (NGINX_SRC=dir, 1.25 or later)
	@test -e $(tree)/src/http/v3/ngx_http_v3.h || \
	    { echo "HTTP/3 needs NGINX_SRC=dir, the source of nginx 1.25 or later" >&2; exit 1; }
	@t/deps build http3
	@TEST_NGINX_BINARY=$(top)/$(out)/nginx TEST_NGINX_GLOBALS="$(global)" \
	    prove $(wildcard t/login/http3*.t)

LOGINS := 100000

.PHONY: soak
soak: $(goal) $(if $(NGINX_SRC),$(out)/objs/nginx) $(out)/nginx ## LOGINS=100000 good and bad logins: answers, memory, descriptors
	@t/deps build soak
	@TEST_NGINX_BINARY=$(top)/$(out)/nginx TEST_NGINX_GLOBALS="$(global)" \
	    t/soak/run $(LOGINS)

TIME := 60
SEED :=

.PHONY: chaos
chaos: $(goal) $(if $(NGINX_SRC),$(out)/objs/nginx) $(out)/nginx ## TIME=600 seconds of reloads, kills and clients that leave: whose identity shows, what comes back
	@t/deps build chaos
	@TEST_NGINX_BINARY=$(top)/$(out)/nginx TEST_NGINX_GLOBALS="$(global)" \
	    t/chaos/run $(TIME) $(SEED)

.PHONY: check
check: build/debian/configured ## structure, documentation, formatting, clang-tidy, cppcheck
	@for script in t/check/*; do $$script; done

.PHONY: format
format:           ## clang-format over src and t
	@clang-format -i src/*/*.cpp src/*/*.h t/unit/*/* t/fuzz/*.cpp t/fuzz/*.h t/fuzz/entry/*.cpp

.PHONY: demo
demo: $(module)   ## a provider, an application and nginx on loopback, to try in a browser
	@t/deps demo
	@t/demo/demo start

.PHONY: demo-stop
demo-stop:        ## ends the demo
	@t/demo/demo stop

# Debian's places.
modules   := $(DESTDIR)/usr/lib/nginx/modules
available := $(DESTDIR)/usr/share/nginx/modules-available
enabled   := $(DESTDIR)/etc/nginx/modules-enabled

.PHONY: install
install: $(module) ## the module and its load_module line, where Debian's nginx looks
	@install -D -s -m 644 $(module) $(modules)/ngx_http_oidc_module.so
	@mkdir -p $(available) $(enabled)
	@echo "load_module modules/ngx_http_oidc_module.so;" \
	    > $(available)/mod-http-oidc.conf
	@ln -sf /usr/share/nginx/modules-available/mod-http-oidc.conf \
	    $(enabled)/50-mod-http-oidc.conf
	@echo "installed; \"nginx -t\" checks, \"nginx -s reload\" does not load" \
	    "modules again: restart nginx"

.PHONY: uninstall
uninstall:        ## removes what install wrote
	@rm -f $(enabled)/50-mod-http-oidc.conf $(available)/mod-http-oidc.conf \
	    $(modules)/ngx_http_oidc_module.so
	@echo "uninstalled; remove the module's directives from the configuration," \
	    "then restart nginx"

.PHONY: clean
clean:            ## removes build
	@t/demo/demo stop > /dev/null 2>&1 || true
	@rm -rf build
