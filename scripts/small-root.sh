# Read by those who make a small root for qemu (test-kernels, appliance).

# put ROOT FILE...: copies files with the libraries that they need to the same places under ROOT.
put() {
    root=$1
    shift
    for file; do
        mkdir -p "$root$(dirname "$file")"
        cp -L "$file" "$root$file"
        for library in $(ldd "$file" 2>/dev/null | grep -o '/[^ ]*'); do
            [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"; }
        done
    done
}

# tree ROOT: the directories that every root has, with busybox, and a link for each of its programs that is not there.
tree() {
    for name in usr/bin usr/lib usr/lib64 proc sys dev tmp run etc var root; do mkdir -p "$1/$name"; done
    for name in bin lib lib64; do ln -s "usr/$name" "$1/$name"; done
    ln -s /run "$1/var/run" # where ip keeps its namespaces
    ln -s bin "$1/usr/sbin"
    ln -s usr/bin "$1/sbin"
    echo "root:x:0:0:root:/root:/bin/sh" > "$1/etc/passwd"
}
busybox_links() {
    put "$1" "$(command -v busybox)"
    for applet in $(busybox --list); do [ -e "$1/usr/bin/$applet" ] || ln -s busybox "$1/usr/bin/$applet"; done
}

# modules ROOT KERNEL PART...: those parts of an unpacked kernel's modules. Leaves the kernel's release in $release.
modules() {
    root=$1
    # Debian has them in /usr/lib since 13.
    found=$(ls -d "$2"/lib/modules/*/kernel "$2"/usr/lib/modules/*/kernel 2>/dev/null | head -n 1)
    found=$(dirname "$found")
    shift 2
    release=$(basename "$found")
    mkdir -p "$root/lib/modules/$release"
    cp "$found"/modules.builtin* "$found"/modules.order "$root/lib/modules/$release"
    for part; do
        mkdir -p "$root/lib/modules/$release/kernel/$(dirname "$part")"
        cp -r "$found"/kernel/$part* "$root/lib/modules/$release/kernel/$(dirname "$part")"
    done
    depmod -b "$root" "$release"
}
