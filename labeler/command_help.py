"""What ``python -m labeler`` and ``python -m labeler COMMAND --help`` print; `generate`'s is in conf/generate.yaml."""

from __future__ import annotations

USAGE = """Labels and data sets. A data set is a folder: dataset.json and shards.

  python -m labeler generate [key=value ...]    make one: drop objects, render, label
  python -m labeler import-plgp SOURCE DIR      make one from the files of the PLGP-Dataset's authors
  python -m labeler import-posed SOURCE DIR     make one of real pictures with posed meshes: BOP, GraspNet
  python -m labeler import-rectangles SOURCE DIR  make one of Cornell's or Jacquard's rectangles

  python -m labeler stats DIR                   its figures beside the paper's, histograms as a picture
  python -m labeler preview DIR                 a contact sheet: images with some of their labels
  python -m labeler validate DIR                is every byte as it was written? names each damaged shard
  python -m labeler verify DIR                  are the labels true? executes random ones in physics
  python -m labeler tradeoff DIR                truth against coverage of several label settings

  python -m labeler export-rectangles DIR OUT   its labels as rectangles: Cornell's or Jacquard's format
  python -m labeler export-bop DIR OUT          its scenes in BOP's format: pictures, depth, meshes, poses
  python -m labeler push DIR PLACE              to the Hugging Face Hub, or to a folder
  python -m labeler pull PLACE DIR              and back, checked byte by byte

`python -m labeler COMMAND --help` explains each. Options are written key=value.
"""

HELP = {
    "import-plgp": """python -m labeler import-plgp SOURCE DIR [noise=paper] [seed=0]

Makes a data set in the new folder DIR from files of the PLGP-Dataset's authors, wherever below SOURCE:
either the folders of their generator (camera_rgb.png, camera_depth.mat, camera_mask.mat, cameraPos.mat,
objsPose.mat, graspLabel.txt) or their training set (NAME_rgb.png, NAME_depth.mat, NAME_grasp.txt).
Views that cannot be read are named and skipped. What the files do not say is filled in and noted in
DIR/dataset.json under "imported". An interrupted import goes on when the same command is given again.

  noise=paper   spoil depth_noisy as the paper does (the authors store clean depth); noise=none copies it
  seed=0        of the noise

Train on it with `python train.py data.folder=DIR data.recipe=null`.
""",
    "import-rectangles": """python -m labeler import-rectangles SOURCE DIR focal=PIXELS [format=jacquard]

Makes a data set in the new folder DIR of images with grasp rectangles, wherever below SOURCE. A rectangle's
centre becomes the label's pixel, its angle the nearest of 18, its opening the width in metres at the depth of
that pixel; of equal pixels and angles the widest stays. How deep a grasp goes, rectangles do not say.
Images that cannot be read are named and skipped. What the files do not say is filled in and noted in
DIR/dataset.json under "imported". An interrupted import goes on when the same command is given again.

  focal=PIXELS      focal length of the camera at the size of the images: no file says it. Images that
                    export-rectangles wrote have 415.69 of the paper's camera, 886.81 with side=1024
  format=jacquard   SCENE/NAME_grasps.txt, beside it NAME_RGB.png, NAME_perfect_depth.tiff and, if they are
                    there, NAME_stereo_depth.tiff and NAME_mask.png; images of one folder stay in one split
  format=cornell    pcdNNNNcpos.txt, beside it pcdNNNNr.png and pcdNNNNd.tiff; each image is a scene

Train on it with `python train.py experiment=rectangles data.folder=DIR data.recipe=null`.
""",
    "import-posed": """python -m labeler import-posed SOURCE DIR [format=bop] [models=SOURCE/models] [every=1]
                                      [tolerance=0.003] [turn=1.5] [check=true] [gripper=NAME]

Makes a data set in the new folder DIR of real pictures whose objects have meshes and 6-D poses. The meshes
are rendered as they are posed, and labelled; rgb and depth_noisy are the camera's own pictures, depth is
the rendered one. Every pose is compared with the measured depth: labels of objects that do not stand where
the depth shows them are left out, and views with more bad poses than good ones; so are labels under things
without a pose, and those whose hand meets one. DIR/poses.csv lists every pose with its figures and the reason.
An interrupted import goes on when the same command is given again.

  format=bop       SOURCE/test/000001/scene_gt.json ... and SOURCE/models/obj_000001.ply, millimetres;
                   format=graspnet: SOURCE/scenes/scene_0000/CAMERA/meta and SOURCE/models/000, metres
  models=FOLDER    the meshes, where they lie elsewhere than in models, models_cad, models_reconst or models_eval
  every=10         take every tenth view of a scene
  tolerance=0.003  metres by which a pose may be off
  turn=1.5         degrees by which it may be turned, beyond what the noise of the depth explains
  check=false      believe every pose, and leave every label
  gripper=franka   the hand that the labels are for: a name of conf/gripper, or a YAML file such as those. Without it
                   the hand of the data set that export-bop wrote, or the paper's

`python -m labeler verify DIR` executes the labels in the twin scenes. Train with data.folder=DIR
data.recipe=null, or beside simulated data with data.also=[DIR].
""",
    "stats": """python -m labeler stats DIR [out=FILE.png]

Prints the data set's row of the paper's Table I, and positives to negatives before and after the
8-neighbourhood enhancement, counted as the paper counts (labels of whole images among the cells of
320 x 320 x 18 crops) and inside the centre crop, beside the paper's 1:1439 and 1:317.
Writes the numbers to DIR/stats.json and histograms (angle, depth, width, labels of images and of
objects) to DIR/stats.png, or to FILE.png. Where DIR is read-only, out= is needed: the numbers go to FILE.json.
""",
    "preview": """python -m labeler preview DIR [images=12] [grasps=40] [seed=0] [out=FILE.png]

Draws random images with random ones of their labels into one picture, DIR/preview.png or FILE.png:
a green point is the label's pixel, the red line runs along the closing direction and is as long as
the opening.

  images=12   how many images, spread over the scenes
  grasps=40   how many labels an image at most
  seed=0      picks both
""",
    "validate": """python -m labeler validate DIR

Compares every shard with its checksum and looks at every image and label: shapes, ranges, labels on
objects. Prints one line for each problem; exit status 1 if there is any. A shard that was laid into the folder
by hand is one: dataset.json does not list it, so nothing reads it. Two data sets are trained on together with
data.folder=DIR data.also=[OTHER], each in its own folder.
""",
    "verify": """python -m labeler verify DIR [attempts=500] [friction=0.4,0.2] [seed=0] [workers=2] [objects=FOLDER]
                                [recall=true] [grasps=200] [by=object,family] [physics=mujoco]
                                [tray_friction=1] [force=30] [mass=3] [out=FILE.csv]

Rebuilds scenes from the shards and executes random labels, all equally likely, in physics: which share
lifts its object? The figure goes into DIR/dataset.json under "truth" and its friction.

  attempts=500    how many labels; 0 with recall=true measures the recall only
  friction=0.4    of the fingertips; several with commas between
  seed=0          draws the labels
  workers=2       processes
  objects=FOLDER  the objects that the data set was made from, where they no longer lie where they lay
  by=object       also a table of the objects, by=family of the families of procedural objects, or both: the
                  least true first, with their masses. Tables by mass and of objects under 250 g are always there
  recall=true     also executes random grasps on objects: which share of those that lift has a label? With by=
                  it also prints which objects or families carry a label
  grasps=200      so many a scene for the recall
  physics=mujoco  executes every label in MuJoCo as well and prints where the two engines agree; it needs
                  pip install 'plgp[mujoco]'. DIR/agreement-0.4.csv holds every label with both outcomes, those
                  on which the engines differ first. The figure in dataset.json stays Bullet's
  out=FILE.csv    keeps every label with its object, mass, outcome and reason

What one cause is worth: the same labels in another world, whose figures dataset.json does not keep.

  tray_friction=1  floor and walls hold objects so much
  force=30         so many newtons a finger instead of the gripper's own
  mass=3           objects weigh three times as much
""",
    "tradeoff": """python -m labeler tradeoff DIR [settings=conf/tradeoff.yaml] [attempts=120] [friction=0.4,0.2]
                                  [grasps=100] [seed=0] [workers=2] [objects=FOLDER] [out=DIR/tradeoff]

Labels DIR's views anew with several settings and measures truth and coverage of each, since one is
bought with the other. Writes out.csv and out.png.

  settings=FILE   YAML with the settings to compare
  attempts=120    labels executed per setting and friction
  grasps=100      random grasps a scene, for the coverage
""",
    "export-rectangles": """python -m labeler export-rectangles DIR OUT [format=cornell] [per_image=100]
                                           [seed=0] [side=0]

Writes images and labels into the new folder OUT, for code that reads the Cornell or the Jacquard data
set. Openings become pixels at the distance of the surface at the label's pixel; jaws are as wide as
a finger. Depth images are 32-bit TIFF in metres.

  format=cornell    01/pcd0100cpos.txt (four corners a grasp), pcd0100r.png, pcd0100d.tiff
  format=jacquard   SCENE/VIEW_SCENE_grasps.txt (x;y;theta;opening;jaws), _RGB.png, _perfect_depth.tiff,
                    _stereo_depth.tiff (the noisy one), _mask.png
  per_image=100     so many labels of an image at most, drawn at random; 0 for all
  side=0            cut out the centre square and scale it to so many pixels; Jacquard's readers want 1024
  seed=0            draws the labels
""",
    "export-bop": """python -m labeler export-bop DIR OUT [depth=noisy] [objects=FOLDER]

Writes scenes into the new folder OUT in the format of the BOP challenge: OUT/test/000000/rgb, depth,
mask_visib, scene_camera.json, scene_gt.json, and OUT/models in millimetres. OUT/plgp-recipe.json keeps the recipe
and the trays: with it, `import-posed OUT` gives the same labels again; without it, the table is found anew.

  depth=noisy     as a sensor gives it; depth=clean without noise
  objects=FOLDER  the objects that the data set was made from, where they no longer lie where they lay
""",
    "push": """python -m labeler push DIR PLACE [licence=other] [private=true]

Writes a data set card (DIR/README.md, with stats.json and stats.png) and sends the data set to PLACE:

  USER/NAME                       a data set repository on the Hugging Face Hub, made if it is not there;
                                  needs `pip install 'plgp[hub]'` and `hf auth login`
  /PATH, ./PATH, ~/PATH or file:///PATH   a folder: a cluster's share, a USB disk

  licence=other   short name for the card, such as cc-by-4.0
  private=true    whether a new repository is visible to its owner only

To a folder, every shard's checksum is compared as it lands; an interrupted push goes on when the same
command is given again. What was measured there of the same shards stays, on the Hub too. A card that you wrote
or edited is kept, here and there, which is said, and a licence= that it does not name is refused; delete it for a
new one. A DIR that is read-only is copied by `python -m labeler pull DIR PLACE`, without a new card.
""",
    "pull": """python -m labeler pull PLACE DIR

Fetches a data set from PLACE (USER/NAME on the Hugging Face Hub, or a folder as /PATH, ./PATH, ~/PATH or
file:///PATH) into DIR, and validates it byte by byte. Whole shards that are there are kept: an
interrupted pull goes on when the same command is given again. A finished copy stays one while it is compared,
with its own truth, recall and edited card; a second pull into the same folder waits for the first.
""",
}
