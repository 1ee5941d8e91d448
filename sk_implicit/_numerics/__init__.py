"""What every room above builds on: blocks of rows, ranges of numbers, threads of BLAS, spectra."""
