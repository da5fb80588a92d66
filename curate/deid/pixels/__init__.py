"""Text in pictures and bytes beside pixels: header risk, ultrasound regions, text detection, blanking, frame streams.

``clean.clean_pixels`` is what the engine calls. ``risk`` scores the header; ``text_search`` looks (``ocr``,
``regions``, ``palette``) and blanks (``blank``); ``fragments``, ``jpeg_segments``, ``rle_segments``, ``native`` and
``decode`` know the encodings.
"""
