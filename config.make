# nginx knows no C++ flags: give them to the objects of this module alone.
# gcc 12 takes the empty half of a std::variant for uninitialized memory.

for oidc_file in $oidc_srcs; do
    oidc_dir=`dirname $oidc_file`
    oidc_obj=addon/`basename $oidc_dir`/`basename $oidc_file .cpp`.o
    echo "$NGX_OBJS/$oidc_obj: CFLAGS += -std=c++20 -fvisibility=hidden" \
         "-Wno-maybe-uninitialized $OIDC_CXXFLAGS" >> $NGX_MAKEFILE
done
