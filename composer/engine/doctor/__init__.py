"""What `composer doctor` looks at: the environment, place by place.

`examination` asks the others. Modules here import nothing but the standard library when they are
imported, as a library that is missing or broken is what they are to find.
"""
