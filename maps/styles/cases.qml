<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.28.0" styleCategories="Symbology|Labeling" labelsEnabled="1">
 <renderer-v2 type="categorizedSymbol" attr="kind" symbollevels="0" enableorderby="0">
  <categories>
   <category value="hidden_working_face" symbol="0" label="hidden working face · 隐蔽工作面" render="true"/>
   <category value="active_while_shut" symbol="1" label="active while shut · 停产期间生产" render="true"/>
   <category value="beyond_boundary" symbol="2" label="beyond boundary · 越界开采" render="true"/>
   <category value="unlicensed" symbol="3" label="unlicensed · 无证开采" render="true"/>
   <category value="paper_output" symbol="4" label="paper output · 虚报产量" render="true"/>
  </categories>
  <symbols>
   <symbol type="fill" name="0" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{hidden_working_face},70"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="{hidden_working_face},255"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.6"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="1" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{active_while_shut},70"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="{active_while_shut},255"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.6"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="2" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{beyond_boundary},70"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="{beyond_boundary},255"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.6"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="3" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{unlicensed},70"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="{unlicensed},255"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.6"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
   <symbol type="fill" name="4" alpha="1" clip_to_extent="1" force_rhr="0">
    <layer class="SimpleFill" enabled="1" locked="0" pass="0">
     <Option type="Map">
      <Option type="QString" name="color" value="{paper_output},70"/>
      <Option type="QString" name="style" value="solid"/>
      <Option type="QString" name="outline_color" value="{paper_output},255"/>
      <Option type="QString" name="outline_style" value="solid"/>
      <Option type="QString" name="outline_width" value="0.6"/>
      <Option type="QString" name="outline_width_unit" value="MM"/>
     </Option>
    </layer>
   </symbol>
  </symbols>
 </renderer-v2>
 <labeling type="simple">
  <settings calloutType="simple">
   <text-style fieldName="case_id" isExpression="0" fontSize="8" fontSizeUnit="Point" textColor="28,39,51,255">
    <text-buffer bufferDraw="1" bufferSize="0.8" bufferSizeUnits="MM" bufferColor="255,255,255,255"/>
   </text-style>
   <placement placement="1" dist="1" distUnits="MM"/>
   <rendering drawLabels="1" scaleVisibility="0"/>
  </settings>
 </labeling>
</qgis>
