#!/bin/sh
# PID 1 of the guest. / is an overlay over the host's files, which stay as they are.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
word() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
parts=$(word parts) python=$(word python) tree=$(word tree)
mkdir -p /run/dbus /var/lib/bluetooth /etc/bluetooth /etc/dbus-1/system.d
mount -t tmpfs t /var/lib/bluetooth
cp "$parts"/bluez/etc/bluetooth/*.conf /etc/bluetooth/
cp "$parts"/bluez/etc/dbus-1/system.d/bluetooth.conf /etc/dbus-1/system.d/
"$parts"/busybox/bin/busybox ip link set lo up
dbus-daemon --system --fork
cd "$tree" && PYTHONPATH=$tree:$parts/site "$python" -m tests.qemu.real "$parts"/bluez/usr/libexec/bluetooth/bluetoothd
echo "GUEST ended with $?"
"$parts"/busybox/bin/busybox poweroff -f
