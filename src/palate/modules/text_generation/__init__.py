"""Parts of networks that write texts: words, copying, pointer-generators, small Transformers, decoding, losses."""
