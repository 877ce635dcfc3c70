//! Filters of our own in fail2ban's dialect, each for something that few filters use, with lines for them. They are tried
//! on both engines; see [`crate::differential`].

/// Name, filter, its .local (if any), options in brackets, and lines.
pub(crate) type Feature =
    (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)], &'static str);

/// One filter each.
pub(crate) const FEATURES: &[Feature] = &[
    (
        "subnet",
        "[Definition]\nfailregex = ^\\s*bad net <SUBNET>$\n ^\\s*bad cidr <ADDR>/<CIDR>$\n ^\\s*bad port <ADDR>:<F-PORT/>$\n",
        "",
        &[],
        "2005-08-14 10:00:00 bad net 192.0.2.77/24\n2005-08-14 10:00:00 bad net [2001:db8:1::9/48]\n\
         2005-08-14 10:00:00 bad cidr 192.0.2.77/9\n2005-08-14 10:00:00 bad port 192.0.2.1:ssh\n\
         2005-08-14 10:00:00 bad net 192.0.2.77\n2005-08-14 10:00:00 bad net 2001:db8::/200\n",
    ),
    (
        "tuple",
        "[Definition]\nfailregex = ^a <F-ID>\\S+</F-ID> (?:from <F-TUPLE_ID>\\S+</F-TUPLE_ID>)? <F-ALT_USER_1>\\w*</F-ALT_USER_1>,<F-ALT_USER_2>\\w+</F-ALT_USER_2>$\n",
        "",
        &[],
        "Aug 14 10:00:00 a id1 from 192.0.2.5 x,y\nAug 14 10:00:00 a id1  ,y\nAug 14 10:00:00 a id2 from 2 ,z\n",
    ),
    (
        "lines",
        "[Definition]\nmaxlines = 5\nfailregex = ^start <F-USER>\\S+</F-USER><SKIPLINES>^\\s*fail <HOST>$\n ^alone <HOST>$\nignoreregex = ^start good\n ^alone 192\\.0\\.2\\.1$\n",
        "",
        &[],
        "10:00:00 start bob\n10:00:00 noise\n10:00:01 fail 192.0.2.7\n10:00:01 alone 192.0.2.1\n10:00:01 alone 192.0.2.8\n\
         10:00:01 start good\n10:00:02 noise\n10:00:02 fail 192.0.2.9\n10:00:03 start eve\n10:00:03 start mallory\n10:00:03 fail 192.0.2.10\n",
    ),
    (
        "prefixed_lines",
        "[Definition]\nmaxlines = 3\nprefregex = ^\\w+: <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^one\\ntwo <HOST>$\n ^three <HOST>$\nignoreregex = not$\n",
        "",
        &[],
        "10:00:00 a: one\n10:00:00 b: two 192.0.2.1\n10:00:00 c: three 192.0.2.2\n10:00:00 c: three 192.0.2.2 not\n10:00:00 c: nothing\n",
    ),
    (
        "epoch",
        "[Definition]\nfailregex = ^\\W*x? ?bad <HOST>\ndatepattern = ^\\[{EPOCH}\\]\n t={LEPOCH};\n {^LN-BEG}LEPOCH\n TAI64N\n Epoch\n",
        "",
        &[],
        "[1124013500] bad 192.0.2.1\nt=1124013500123; bad 192.0.2.2\nt=1124013500123456; bad 192.0.2.3\n1124013500.5 bad 192.0.2.4\n\
         @4000000042ff1a0a1dcd6500 bad 192.0.2.5\naudit(1124013500.123:42) bad 192.0.2.6\n1124013500123 bad 192.0.2.7\n@4000000042ff1a0a1dcd65001 bad 192.0.2.8\n",
    ),
    (
        "custom_dates",
        "[Definition]\nfailregex = bad <HOST>\ndatepattern = ^at %%Y week %%W %%a %%H:%%M\n day %%j of %%Y %%I:%%M:%%S %%p\n %%d\\. %%B %%y %%k h %%Exz\n {UNB}T%%Exy%%Exm%%Exd%%ExH%%ExM%%ExS\n **%%Y%%m%%d**\n %%b (\\d+) x\n",
        "",
        &[],
        "at 2005 week 32 Sun 11:58 bad 192.0.2.1\nday 226 of 2005 11:58:01 PM bad 192.0.2.2\n14. August 05  9 h CEST bad 192.0.2.3\n\
         xT050814115801y bad 192.0.2.4\nz20050814z bad 192.0.2.5\n14. august 05 19 h -0130 bad 192.0.2.6\nAug 77 x bad 192.0.2.7\n\
         day 366 of 2005 12:58:01 AM bad 192.0.2.8\nat 2005 week 53 Mon 11:58 bad 192.0.2.9\n14. May 05 12 h Q bad 192.0.2.10\n",
    ),
    (
        "date_inside",
        "[Definition]\nfailregex = ^<\\d+> - bad <HOST>\ndatepattern = ^<\\d+>\\s*({DATE}) -\n {^LN-BEG}\n",
        "",
        &[],
        "<5> 2005-08-14T10:00:00Z - bad 192.0.2.1\n<5> Aug 14 10:00:00 - bad 192.0.2.1\nAug 14 10:00:00 <5> - bad 192.0.2.1\n",
    ),
    (
        "no_date",
        "[Definition]\nfailregex = ^bad <HOST>$\n ^\\S+ \\S+ \\d+ bad <HOST>$\ndatepattern = {NONE}\n",
        "",
        &[],
        "bad 192.0.2.1\nAug 14 10 bad 192.0.2.1\n2005-08-14 10:00:00 bad 192.0.2.2\n",
    ),
    (
        "all_dates",
        "[Definition]\nfailregex = bad <HOST>\n",
        "",
        &[],
        "2005-08-14T09:58:01.5+02:00 bad 192.0.2.1\n2005/08/14 09:58:01 bad 192.0.2.1\nSun Aug 14 09:58:01.123 2005 bad 192.0.2.1\n\
         Dec 31 23:59:59 bad 192.0.2.1\nx [14/Aug/2005:09:58:01 +0200] bad 192.0.2.1\n08/14/2005:09:58:01 bad 192.0.2.1\n\
         08-14-2005 09:58:01.1 bad 192.0.2.1\n14/08/05 9:58:01 bad 192.0.2.1\n050814 9:58:01 bad 192.0.2.1\n\
         <08/14/05@09:58:01> bad 192.0.2.1\nAug 14, 2005 9:58:01 PM bad 192.0.2.1\nAug-14-05 09:58:01 bad 192.0.2.1\n\
         20050814T095801 bad 192.0.2.1\nPDT Aug 14 09:58:01 bad 192.0.2.1\n+03:00 Aug 14 09:58:01 bad 192.0.2.1\n09:58:01 bad 192.0.2.1\n\
         23:58:01 bad 192.0.2.1\nFeb 29 10:00:00 bad 192.0.2.1\n2005-02-30 10:00:00 bad 192.0.2.1\nno date bad 192.0.2.1\n\
         message of 2005-08-13 10:00:00 then Aug 14 09:00:00 bad 192.0.2.1\n14-Aug-2005 09:58:01.252 bad 192.0.2.1\n1124013500 bad 192.0.2.1\n",
    ),
    (
        "inherits",
        "[INCLUDES]\nbefore = inherits_base.inc\n[DEFAULT]\n_kind = loud\n[Definition]\n_daemon = srv\nfailregex = %(known/failregex)s\n ^%(_kind)s <x_<which>> <HOST>$\n ^<mode/said> 100%% <HOST>$\nx_a = alpha\nx_b = beta\n[mode]\nsaid = %(default/_kind)sly\n[Init]\nwhich = a\n",
        "[Init]\nwhich = b\n[Definition]\nx_b = <known/which>-gamma\n",
        &[("which", "b")],
        "10:00:00 loud alpha 192.0.2.1\n10:00:00 loud b-gamma 192.0.2.2\n10:00:00 base srv 192.0.2.3\n10:00:00 loudly 100% 192.0.2.4\n10:00:00 loud beta 192.0.2.1\n",
    ),
    (
        "connection",
        "[Definition]\nprefregex = ^<F-MLFID>\\w+\\[\\d+\\]</F-MLFID>: <F-CONTENT>.*</F-CONTENT>$\nfailregex = ^<F-NOFAIL>user</F-NOFAIL> <F-USER>\\S*</F-USER>$\n ^from <HOST>$\n ^failed$\n ^<F-NOFAIL><F-MLFFORGET>bye</F-MLFFORGET></F-NOFAIL>\n ^<F-MLFFORGET>lost</F-MLFFORGET> <HOST>$\n ^<F-MLFGAINED>in</F-MLFGAINED> <F-USER>\\S+</F-USER>$\n ^try <F-USER>\\S*</F-USER> <HOST>$\nignoreregex = never\n",
        "",
        &[],
        "10:00:00 s[1]: user bob\n10:00:00 s[1]: failed\n10:00:00 s[1]: from 192.0.2.1\n10:00:00 s[1]: bye\n10:00:00 s[2]: failed\n10:00:00 s[2]: lost 192.0.2.2\n\
         10:00:00 s[3]: try a 192.0.2.3\n10:00:00 s[3]: try b 192.0.2.3\n10:00:00 s[3]: in c\n10:00:00 s[4]: try a 192.0.2.4\n10:00:00 s[4]: in a\n10:00:00 s[4]: try a 192.0.2.4\n10:00:00 s[4]: bye\n\
         10:00:00 s[5]: from 192.0.2.5\n10:00:00 s[5]: user x\n10:00:00 s[5]: user y\n10:00:00 s[5]: in y\n10:00:00 s[6]: from never\n10:00:00 s[6]: failed\n10:00:00 s[6]: in z\n10:00:00 s[6]: from 192.0.2.6\n",
    ),
    (
        "python",
        "[Definition]\nfailregex = (?i)^straße (?P<q>[\"'])?<HOST>(?(q)(?P=q)|!)$\n ^((?i)CASE) [\\w\\s.-]{3,9}\\b<HOST>\\Z\n ^x{,2}y{z [^]]+] [[] \\. <HOST>\\s*$\n ^(?=.*yes)(?!.*no).*?<HOST>(?<=\\d)$\n ^\\d+\\s\\w+ <HOST>\n ^(?:a|ab)(?:c|bcd)(?P<d>d*) <DNS>$\n ^<IP4> <F-IP6/>$\n",
        "",
        &[],
        "10:00:00 STRASSE \"192.0.2.1\"\n10:00:00 Straße '192.0.2.1'\n10:00:00 Straße 192.0.2.1!\n10:00:00 case a b-c 192.0.2.2\n10:00:00 CaSe éü ß-192.0.2.2\n10:00:00 xxy{z ab] [ . 192.0.2.3 \n\
         10:00:00 yes 192.0.2.4\n10:00:00 yes no 192.0.2.4\n10:00:00 ٣\u{1c}é 192.0.2.5\n10:00:00 abcd host.example.com\n10:00:00 abcdd x^y\n10:00:00 192.0.2.7 2001:db8::7\n10:00:00 case a b-c 192.0.2.2 \n",
    ),
];

/// What the filter `inherits` includes.
pub(crate) const BASE: (&str, &str) =
    ("inherits_base.inc", "[Definition]\n_daemon = other\nfailregex = ^base %(_daemon)s <HOST>$\n");
