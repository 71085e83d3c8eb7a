# In the crash kernel: kdump-capture run, to where the next boot looks.
cat >/kdumpkit.toml <<END
[[target]]
kind = "directory"
path = "/mnt/out/dumps"
END
step run kdump-capture run --config /kdumpkit.toml --final-action none
