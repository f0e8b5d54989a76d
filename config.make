# nginx knows no C++ flags: give them to the objects of this module alone.
# gcc 12 takes the empty half of a std::variant for uninitialized memory; other
# compilers refuse its name of that warning.
# With OIDC_DEPFILES an object depends on the headers that it includes, not on
# all of them; the make has to be GNU make.

oidc_flags="-std=c++20 -fvisibility=hidden"
[ "$NGX_CC_NAME" != gcc ] || oidc_flags="$oidc_flags -Wno-maybe-uninitialized"

for oidc_file in $oidc_srcs; do
    oidc_dir=`dirname $oidc_file`
    case `basename $oidc_dir` in
        core | jose | oidc | flow) oidc_warnings=$OIDC_WARNINGS ;;
        *) oidc_warnings= ;;
    esac
    oidc_obj=addon/`basename $oidc_dir`/`basename $oidc_file .cpp`.o
    echo "$NGX_OBJS/$oidc_obj: CFLAGS += $oidc_flags" \
         "$oidc_warnings $OIDC_CXXFLAGS" \
         ${OIDC_DEPFILES:+-MMD -MP} >> $NGX_MAKEFILE
done

if [ -n "$OIDC_DEPFILES" ]; then
    echo "-include $NGX_OBJS/addon/*/*.d" >> $NGX_MAKEFILE
fi
