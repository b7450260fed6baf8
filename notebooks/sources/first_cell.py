# Installs the kit where it is missing, as on Colab, and lets its widgets show there; else it does nothing.
import importlib.util
import subprocess
import sys

PUBLIC = "https://github.com/OWNER/maunet-lite"  # a public copy of the kit; `make launch` writes its address
if importlib.util.find_spec("maunet_lite") is None:
    if "/OWNER/" in PUBLIC:
        raise SystemExit("The kit is not installed. Write the address of a public copy into PUBLIC above.")
    wanted = [f"maunet-lite[export,scale] @ git+{PUBLIC}", "anywidget>=0.9", "plotly>=6.0"]
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *wanted], check=True)
if "google.colab" in sys.modules:
    sys.modules["google.colab"].output.enable_custom_widget_manager()
