# nginx knows no C++ flags: give them to the objects of this module alone.
# gcc 12 takes the empty half of a std::variant for uninitialized memory.
# With OIDC_DEPFILES an object depends on the headers that it includes, not on
# all of them; the make has to be GNU make.

for oidc_file in $oidc_srcs; do
    oidc_dir=`dirname $oidc_file`
    case `basename $oidc_dir` in
        core | jose | oidc | flow) oidc_warnings=$OIDC_WARNINGS ;;
        *) oidc_warnings= ;;
    esac
    oidc_obj=addon/`basename $oidc_dir`/`basename $oidc_file .cpp`.o
    echo "$NGX_OBJS/$oidc_obj: CFLAGS += -std=c++20 -fvisibility=hidden" \
         "-Wno-maybe-uninitialized $oidc_warnings $OIDC_CXXFLAGS" \
         ${OIDC_DEPFILES:+-MMD -MP} >> $NGX_MAKEFILE
done

if [ -n "$OIDC_DEPFILES" ]; then
    echo "-include $NGX_OBJS/addon/*/*.d" >> $NGX_MAKEFILE
fi
