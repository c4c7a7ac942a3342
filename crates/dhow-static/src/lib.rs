//! The target static_file: releases on disk and the web server in front of them
