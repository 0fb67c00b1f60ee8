# Buildroot has the rules of packages here; the stand-in has them in its Makefile.
