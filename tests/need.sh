#!/bin/sh
# Makes sure that the programs the tests talk to are installed, or says what to type.
missing=""
command -v mosquitto >/dev/null 2>&1 || [ -x /usr/sbin/mosquitto ] || missing="$missing mosquitto"
command -v strace >/dev/null 2>&1 || missing="$missing strace"
# Not every distribution has these; without them the tests that need them are skipped.
wanted=""
command -v influxd >/dev/null 2>&1 || wanted="$wanted influxdb"
command -v victoria-metrics >/dev/null 2>&1 || wanted="$wanted victoria-metrics"
command -v gcc >/dev/null 2>&1 || wanted="$wanted gcc"
command -v dbus-daemon >/dev/null 2>&1 || wanted="$wanted dbus-daemon"
command -v debootstrap >/dev/null 2>&1 || [ -x /usr/sbin/debootstrap ] || wanted="$wanted debootstrap"
command -v systemd-nspawn >/dev/null 2>&1 || wanted="$wanted systemd-container"
[ -f /usr/include/modbus/modbus.h ] || wanted="$wanted libmodbus-dev"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || wanted="$wanted chromium"
[ -z "$missing$wanted" ] && exit 0
export DEBIAN_FRONTEND=noninteractive
if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && apt-get update -qq; then
    # At once where all are there: a call for each takes its time.
    apt-get install -y -qq $missing $wanted >/dev/null 2>&1 && exit 0
    for package in $wanted; do
        apt-get install -y -qq "$package" >/dev/null || echo "$package is not available: its tests are skipped" >&2
    done
    if [ -z "$missing" ] || apt-get install -y -qq $missing >/dev/null; then exit 0; fi
fi
[ -z "$wanted" ] || echo "Tests are skipped without$wanted. Install with: sudo apt-get install$wanted" >&2
[ -z "$missing" ] && exit 0
echo "The tests need$missing. Install with: sudo apt-get install$missing" >&2
exit 1
