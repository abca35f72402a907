"""The tables of Rifai et al. (ICML 2011), run again."""
